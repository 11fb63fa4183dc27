"""Customers whose credits are frozen."""

from collections.abc import Sequence

from gatekeeper.gate.wired import Wired
from gatekeeper.storage.freezes import Freeze


class FreezeMethods(Wired):
    """Freezing by hand, lifting what a rule has frozen, and seeing why."""

    async def freeze(self, customer: str, reason: str, *, key: str) -> bool:
        """Refuse new holds of a customer's credits until `unfreeze`; open holds may settle.
        `key` names what it is for: the same freezes once. See `services.freezes`."""
        return await self._parts.freezes.freeze(customer, reason, key=key)

    async def unfreeze(self, customer: str, *, actor: str, key: str | None = None) -> bool:
        """Lift a customer's freezes (or the one of `key`); False if none was in force."""
        return await self._parts.freezes.unfreeze(customer, actor, key=key)

    async def freezes(self, customer: str) -> Sequence[Freeze]:
        """Why a customer's credits are, or were, frozen."""
        return await self._parts.freezes.freezes(customer)
