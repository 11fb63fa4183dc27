"""The back office of one gate: its desks, by their subjects."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Final

import anyio

from gatekeeper.errors import InvalidInputError
from gatekeeper.services.back_office import ActionLog
from gatekeeper.services.back_office.customers import CustomerDesk
from gatekeeper.services.back_office.revenue import RevenueDesk
from gatekeeper.services.health import Health, HealthDesk
from gatekeeper.storage.mirror import MirrorObject, MirrorPlace
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.survey import Survey
from gatekeeper.stripe.back_office.messages import EventActions, OutboxActions
from gatekeeper.stripe.back_office.reconciliations import Reconciliations
from gatekeeper.stripe.refunds import RefundDesk
from gatekeeper.types import check_limit

_SURVEY_SECONDS: Final = 5.0

DISPUTE_STATUSES: Final = (
    *("warning_needs_response", "warning_under_review", "warning_closed", "needs_response"),
    *("under_review", "won", "lost", "prevented"),
)
"""https://docs.stripe.com/api/disputes/object#dispute_object-status"""


class BackOffice:
    """What the people who run the app may do. Whether somebody is one of them, is the host's to
    say, before.

    Attributes:
        customers: looking them up; grants, freezes, exceptions, erasure.
        events, outbox: what came in and what has to leave.
        reconciliations: runs in the background.
        revenue: what is earned.
        actions: the record of all of it.
    """

    def __init__(
        self,
        store: Store,
        *,
        customers: CustomerDesk,
        events: EventActions,
        outbox: OutboxActions,
        reconciliations: Reconciliations,
        revenue: RevenueDesk,
        health: HealthDesk,
        refunds: Callable[[], RefundDesk],
    ) -> None:
        self._store = store
        self.customers = customers
        self.events = events
        self.outbox = outbox
        self.reconciliations = reconciliations
        self.revenue = revenue
        self.actions = ActionLog(store)
        self._health = health
        self._refunds = refunds

    @property
    def refunds(self) -> RefundDesk:
        """Refunds.

        Raises:
            ConfigurationError: there is no key of Stripe's.
        """
        return self._refunds()

    async def now(self) -> datetime:
        """The database's clock."""
        return await self._store.read(lambda tx: tx.now())

    async def disputes(
        self,
        *,
        customer: str | None = None,
        statuses: Collection[str] = (),
        limit: int = 100,
        after: MirrorPlace | None = None,
    ) -> Sequence[MirrorObject]:
        """Copies of the disputes of our own account, the newest first; `after` is the place of the
        last of the page before.

        Raises:
            InvalidInputError: there is no such status, or `limit` is not from 1 to 1000.
        """
        check_limit(limit)
        if unknown := sorted(set(statuses).difference(DISPUTE_STATUSES)):
            raise InvalidInputError(f"Disputes have no status {', '.join(unknown)}.")
        return await self._store.read(
            lambda tx: tx.mirror.listed("dispute", limit, after, statuses, customer)
        )

    async def health(self) -> tuple[Health, Survey | None]:
        """How everything is, and how much waits where; no survey where the database does not
        answer, or takes longer than five seconds to count."""
        health = await self._health.look()
        if not health.is_ready:
            return health, None

        def survey(tx: Transaction) -> Survey:
            return tx.survey.take(tx.now())

        with anyio.move_on_after(_SURVEY_SECONDS):
            return health, await self._store.read(survey)
        return health, None
