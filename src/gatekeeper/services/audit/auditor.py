"""What commands and hosts ask of the books of one gate."""

from collections.abc import AsyncIterator, Callable

from gatekeeper.services.audit.erasure import Erased, Erasure
from gatekeeper.services.audit.rebuild import MendedPage, rebuild
from gatekeeper.services.audit.usage import UsageReports
from gatekeeper.services.audit.verify import Verified, verify
from gatekeeper.services.outbox.caches import Invalidate
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Store, Transaction


class Auditor:
    """Verifies, mends and reports; erases customers."""

    def __init__(self, store: Store, rules: Rules, invalidate: Invalidate) -> None:
        self._store = store
        self._erasure = Erasure(store, rules, invalidate)
        self.reports = UsageReports(store)

    async def count(self, customer: str | None = None) -> int:
        """About how many accounts a verification looks at."""
        return await self._store.read(lambda tx: tx.audit.count(customer))

    def verify(
        self, *, customer: str | None = None, after: str | None = None
    ) -> AsyncIterator[Verified]:
        """See `services.audit.verify`."""
        return verify(self._store, customer=customer, after=after)

    def rebuild(
        self, *, customer: str | None = None, after: str | None = None, write: bool = False
    ) -> AsyncIterator[MendedPage]:
        """See `services.audit.rebuild`."""
        return rebuild(self._store, customer=customer, after=after, write=write)

    async def erase(
        self,
        customer: str,
        *,
        force: bool = False,
        note: Callable[[Transaction, Erased], object] | None = None,
    ) -> Erased:
        """See `services.audit.erasure`."""
        return await self._erasure.erase(customer, force=force, note=note)
