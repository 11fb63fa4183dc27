"""What is kept of Stripe's objects."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from gatekeeper.services.copies import StripeCopy
from gatekeeper.services.history import HistoryEntry
from gatekeeper.services.upcoming import SubscriptionView
from gatekeeper.storage.mirror import HistoryPlace
from gatekeeper.storage.port import Transaction
from gatekeeper.sync.waiting import Waiting

T = TypeVar("T")


class CopyCalls(Waiting):
    """Copies of Stripe's objects, and the history of subscriptions."""

    def stripe_object(
        self, kind: str, id: str, *, account: str | None = None, session: object = None
    ) -> StripeCopy | None:
        """As `gate.stripe_object`."""
        return self._copies(self.gate.copies.one(kind, id, account), session)

    def stripe_objects(
        self,
        customer: str,
        kind: str,
        *,
        limit: int = 100,
        after: StripeCopy | None = None,
        session: object = None,
    ) -> Sequence[StripeCopy]:
        """As `gate.stripe_objects`."""
        return self._copies(self.gate.copies.of_customer(customer, kind, limit, after), session)

    def stripe_objects_of(
        self,
        parent: StripeCopy | str,
        kind: str,
        *,
        account: str | None = None,
        session: object = None,
    ) -> Sequence[StripeCopy]:
        """As `gate.stripe_objects_of`."""
        return self._copies(self.gate.copies.of_parent(kind, parent, account), session)

    def subscriptions(self, customer: str, *, session: object = None) -> Sequence[SubscriptionView]:
        """As `gate.subscriptions`."""
        return self._copies(self.gate.copies.subscriptions(customer), session)

    def subscription_history(
        self,
        customer: str,
        *,
        limit: int = 100,
        after: HistoryEntry | HistoryPlace | None = None,
        session: object = None,
    ) -> Sequence[HistoryEntry]:
        """As `gate.subscription_history`."""
        return self._copies(self.gate.copies.history(customer, limit, after), session)

    def _copies(self, work: Callable[[Transaction], T], session: object) -> T:
        if session is not None:
            return self.gate.copies.read_in(session, work)
        return self.call(self.gate.copies.read, work)
