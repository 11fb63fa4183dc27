"""The surveyor: looks over the queues from time to time, for the gauges.

Gauges are read in whichever thread collects metrics, so that they show what was last found. It is
looked for as long as somebody collects: nobody's metrics cost nothing.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from time import monotonic
from typing import Final, NamedTuple

import anyio

from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.survey import Survey
from gatekeeper.telemetry import Reading, Telemetry, metrics

logger = logging.getLogger("gatekeeper")

MAX_AGE_ROUNDS: Final = 3
"""What was found so many rounds ago is shown no longer: no number is better than an old one."""

READER_SECONDS: Final = 900.0
"""For so long after metrics were collected it is expected that they will be again."""

WATCHED: Final = (
    metrics.INBOX_DEPTH,
    metrics.INBOX_AGE,
    metrics.INBOX_DEAD,
    metrics.OUTBOX_DEPTH,
    metrics.OUTBOX_LAG,
    metrics.OUTBOX_DEAD,
    metrics.USAGE_DEPTH,
    metrics.USAGE_AGE,
    metrics.USAGE_DEAD,
    metrics.REQUESTS_DEPTH,
    metrics.REQUESTS_AGE,
    metrics.HOLDS_OPEN,
    metrics.RECONCILIATION_AGE,
)


class _Seen(NamedTuple):
    survey: Survey
    reconciled_at: datetime | None
    at: float


class Surveyor:
    """Looks, and remembers what it saw.

    Args:
        reconciled_at: when the last reconciliation ended, as the database knows.
        every_seconds: how often to look.
    """

    def __init__(
        self,
        store: Store,
        telemetry: Telemetry,
        reconciled_at: Callable[[Transaction], datetime | None],
        *,
        every_seconds: float,
        monotonic: Callable[[], float] = monotonic,
    ) -> None:
        self._store = store
        self._telemetry = telemetry
        self._reconciled_at = reconciled_at
        self._every_seconds = every_seconds
        self._monotonic = monotonic
        self._seen: _Seen | None = None

    async def run(self) -> None:
        """Look for ever, while anybody reads. An outage of the database is waited out."""
        while True:
            if self._is_read():
                try:
                    await self.look()
                except Exception:
                    logger.exception("the queues could not be looked over; it is tried again")
            await anyio.sleep(self._every_seconds)

    def _is_read(self) -> bool:
        read_at = self._telemetry.read_at
        return read_at is not None and self._monotonic() - read_at < READER_SECONDS

    async def look(self) -> None:
        """Look once.

        Raises:
            StoreUnavailableError.
        """
        begun = self._monotonic()

        def work(tx: Transaction) -> _Seen:
            return _Seen(tx.survey.take(tx.now()), self._reconciled_at(tx), begun)

        self._seen = await self._store.read(work)

    def readings(self) -> Iterable[Reading]:
        """What the gauges show now."""
        seen, now = self._seen, self._monotonic()
        if seen is None or now - seen.at > MAX_AGE_ROUNDS * self._every_seconds:
            return
        survey = seen.survey
        for backlog, (depth, age, dead) in (
            (survey.inbox, (metrics.INBOX_DEPTH, metrics.INBOX_AGE, metrics.INBOX_DEAD)),
            (survey.outbox, (metrics.OUTBOX_DEPTH, metrics.OUTBOX_LAG, metrics.OUTBOX_DEAD)),
            (survey.usage, (metrics.USAGE_DEPTH, metrics.USAGE_AGE, metrics.USAGE_DEAD)),
        ):
            yield Reading(depth, backlog.waiting)
            yield Reading(age, backlog.age_seconds(survey.at))
            yield Reading(dead, backlog.dead)
        yield Reading(metrics.REQUESTS_DEPTH, survey.requests.waiting)
        yield Reading(metrics.REQUESTS_AGE, survey.requests.age_seconds(survey.at))
        yield Reading(metrics.HOLDS_OPEN, survey.holds_open)
        if seen.reconciled_at is not None:
            ago = (survey.at - seen.reconciled_at).total_seconds()
            yield Reading(metrics.RECONCILIATION_AGE, max(0.0, ago))
