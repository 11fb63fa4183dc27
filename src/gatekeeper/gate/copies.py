"""Reading what is kept of Stripe's objects."""

from collections.abc import Sequence

from gatekeeper.gate.wired import Wired
from gatekeeper.services.copies import StripeCopy
from gatekeeper.services.history import HistoryEntry
from gatekeeper.services.upcoming import SubscriptionView
from gatekeeper.storage.mirror import HistoryPlace


class CopyMethods(Wired):
    """Copies of Stripe's objects, and the history of subscriptions. `session` is the host's open
    transaction, to read them together with tables of its own."""

    async def stripe_object(
        self, kind: str, id: str, *, account: str | None = None, session: object = None
    ) -> StripeCopy | None:
        """One of Stripe's objects as it was last fetched: `stripe_object("invoice", "in_1")`; None
        if it was never seen. `account` is a connected account; None is our own.

        Raises:
            InvalidInputError: no copies are kept of this kind.
        """
        return await self.copies.read(self.copies.one(kind, id, account), session)

    async def stripe_objects(
        self,
        customer: str,
        kind: str,
        *,
        limit: int = 100,
        after: StripeCopy | None = None,
        session: object = None,
    ) -> Sequence[StripeCopy]:
        """A customer's objects of a kind, the newest first; `after` is the last of the page before.

        Raises:
            InvalidInputError: no copies are kept of this kind, or the page is too large.
        """
        return await self.copies.read(
            self.copies.of_customer(customer, kind, limit, after), session
        )

    async def stripe_objects_of(
        self,
        parent: StripeCopy | str,
        kind: str,
        *,
        account: str | None = None,
        session: object = None,
    ) -> Sequence[StripeCopy]:
        """The objects of a kind that belong to another, the oldest first: the refunds of
        "charge/ch_1", say.

        Raises:
            InvalidInputError: no copies are kept of this kind.
        """
        return await self.copies.read(self.copies.of_parent(kind, parent, account), session)

    async def subscriptions(
        self, customer: str, *, session: object = None
    ) -> Sequence[SubscriptionView]:
        """A customer's subscriptions, the newest first, with what each is scheduled to become."""
        return await self.copies.read(self.copies.subscriptions(customer), session)

    async def subscription_history(
        self,
        customer: str,
        *,
        limit: int = 100,
        after: HistoryEntry | HistoryPlace | None = None,
        session: object = None,
    ) -> Sequence[HistoryEntry]:
        """What a customer's subscriptions have been through, the newest first: each change, and
        what caused it. `after` is the last of the page before, or its `place`.

        Raises:
            InvalidInputError: the page is too large.
        """
        return await self.copies.read(self.copies.history(customer, limit, after), session)
