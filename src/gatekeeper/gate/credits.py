"""What a customer may spend: holds, grants, caps and balances."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Unpack

from gatekeeper.catalog import Measures
from gatekeeper.gate.wired import Wired
from gatekeeper.ledger import Balance, Grant, Hold, Overrun
from gatekeeper.services.credit_options import (
    CapOptions,
    CaptureOptions,
    ExtendOptions,
    GrantOptions,
    ReserveOptions,
    SettleOptions,
    lapsed_in,
    manual_grant,
    reserve_request,
    revocation,
)
from gatekeeper.services.reservation import PendingReservation
from gatekeeper.types import Every


class CreditMethods(Wired):
    """The ledger's commands and questions."""

    def reserve(
        self,
        customer: str,
        name: str,
        quantity: Measures = 1,
        *,
        overrun: Overrun = "cap",
        session: object = None,
        **options: Unpack[ReserveOptions],
    ) -> PendingReservation:
        """Hold `quantity` of a unit or of a cost. `await` it, or use it with `async with`.

        See `services.accounts.reserve` for the errors and `services.reservation` for settlement.
        """
        request = reserve_request(customer, name, quantity, **options)
        if session is not None:
            return self.keeper.reserve_in(session, request, overrun=overrun)
        return self.keeper.reserve(request, overrun=overrun)

    async def capture(
        self,
        hold_id: str,
        amount: int | None = None,
        *,
        session: object = None,
        **options: Unpack[CaptureOptions],
    ) -> Hold:
        """Spend `amount` of a hold (None: all of it), for example in another process.

        With `final=False`, the hold stays open with what is left of it.
        """
        return await self.credits.capture(hold_id, amount, session=session, **options)

    async def release(
        self, hold_id: str, *, session: object = None, **options: Unpack[SettleOptions]
    ) -> Hold:
        """Give a hold back unspent."""
        return await self.credits.release(hold_id, session=session, **options)

    async def extend(
        self,
        hold_id: str,
        ttl: timedelta | None = None,
        *,
        session: object = None,
        **options: Unpack[ExtendOptions],
    ) -> Hold:
        """Keep a hold for longer, and claim `add_amount` more."""
        return await self.credits.extend(hold_id, ttl, session=session, **options)

    async def hold(self, hold_id: str, *, customer: str | None = None) -> Hold:
        """A hold as it is now."""
        return await self.credits.hold(hold_id, customer=customer)

    async def open_holds(self, customer: str, unit: str) -> Sequence[Hold]:
        """The open holds of an account, the oldest first."""
        return await self.credits.open_holds(customer, unit)

    async def grant(
        self,
        customer: str,
        unit: str,
        amount: int,
        *,
        idempotency_key: str | None = None,
        session: object = None,
        **options: Unpack[GrantOptions],
    ) -> Grant:
        """Give a customer `amount` of a unit by hand. See `GrantOptions` and `GrantCommand`."""
        command = manual_grant(amount, **options)
        return await self.credits.grant(
            customer, unit, command, idempotency_key=idempotency_key, session=session
        )

    async def revoke(
        self,
        customer: str,
        unit: str,
        grant_id: str,
        *,
        reason: str,
        actor: str | None = None,
        idempotency_key: str | None = None,
        session: object = None,
    ) -> int:
        """End a grant now; returns how much of it lapsed. What holds have claimed stays theirs."""
        command = revocation(grant_id, reason=reason, actor=actor)
        return lapsed_in(
            await self.credits.change(
                customer, unit, command, idempotency_key=idempotency_key, session=session
            )
        )

    async def set_cap(
        self,
        customer: str,
        unit: str,
        every: Every,
        limit: int | None,
        *,
        session: object = None,
        **options: Unpack[CapOptions],
    ) -> None:
        """Let no more than `limit` be used in each window of the UTC calendar; None lifts the cap.
        See `CapOptions`."""
        await self.credits.set_cap(customer, unit, every, limit, session=session, **options)

    async def balance(self, customer: str, unit: str) -> Balance:
        """An account as it stands now, with all that is due; never from a cache."""
        return await self.credits.balance(customer, unit)

    async def balances(self, customer: str) -> Sequence[Balance]:
        """The balances of all units."""
        return await self.credits.balances(customer)
