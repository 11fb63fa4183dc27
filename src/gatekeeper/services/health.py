"""Health: whether everything that a gate works with works, within so long, and never an error.

Failing is what a process can't serve without: its database, with the right schema. The rest is
degraded: requests are answered, and somebody should look. A load balancer that took processes
away because Stripe is down, or because of a dead letter, would turn a small trouble into an outage.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from time import monotonic
from typing import Any, Final, Protocol

import anyio
import msgspec

from gatekeeper.cache import Cache, Freshness
from gatekeeper.circuit import Circuit
from gatekeeper.storage.paybacks import PaybackStatus
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.survey import Backlog, Survey
from gatekeeper.storage.transfers import TransferStatus

logger = logging.getLogger("gatekeeper")

FRESH_SECONDS: Final = 1.0
"""A look is good for so long: however many ask, the database is asked once in this time."""

_QUEUES: Final = ("inbox", "outbox", "usage", "requests")
_MANY: Final = 100
"""How many transfers that were refused are counted."""

_FITS: Final = "fits this release"


class HealthStatus(StrEnum):
    """How well something is."""

    OK = "ok"
    DEGRADED = "degraded"
    FAILING = "failing"


_ORDER: Final = tuple(HealthStatus)


class HealthCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How well one part is, and why; the reason names no customer and holds no secret."""

    name: str
    status: HealthStatus
    reason: str


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How well a gate is: as well as the worst of its parts.

    Attributes:
        checks: `database`, `schema`, `inbox`, `outbox`, `usage`, `requests`, `reconciliation`,
            `stripe` and `cache`; those that could not be made are left out. `transfers` is there
            while Stripe refuses some.
    """

    checks: tuple[HealthCheck, ...]

    @property
    def status(self) -> HealthStatus:
        """The worst of all."""
        return max((one.status for one in self.checks), key=_ORDER.index)

    @property
    def is_ready(self) -> bool:
        """Whether requests can be served."""
        return self.status is not HealthStatus.FAILING

    def check(self, name: str) -> HealthCheck | None:
        """One of the checks."""
        return next((one for one in self.checks if one.name == name), None)


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """From when on something is degraded.

    Attributes:
        unsealed_seconds: for usage that is in no window yet: a window's length, and what it takes.
        reconciliation_age: None if it is not run on a schedule, or there is no Stripe.
    """

    inbox_age_seconds: float = 300.0
    outbox_lag_seconds: float = 300.0
    unsealed_seconds: float = 3960.0
    dead_letters: int = 0
    reconciliation_age: timedelta | None = timedelta(hours=48)


class LastRun(Protocol):
    """The last reconciliation; `finished_at` None: there was none, though `since` there should."""

    @property
    def finished_at(self) -> datetime | None: ...
    @property
    def since(self) -> datetime | None: ...
    @property
    def drift(self) -> int: ...
    @property
    def unrepaired(self) -> int: ...


class _Looked(msgspec.Struct, frozen=True):
    """What the database says."""

    schema_fault: str | None
    survey: Survey | None = None
    last_run: Any = None
    refused: int = 0


class HealthDesk:
    """Looks after the parts of one gate.

    Args:
        last_run: what the database knows of the last reconciliation.
        circuit: that of the connection to Stripe; None: there is none.
        timeout_seconds: for all of it.
    """

    def __init__(
        self,
        store: Store,
        thresholds: Thresholds,
        last_run: Callable[[Transaction], LastRun | None],
        *,
        cache: Cache[Any],
        circuit: Circuit | None = None,
        timeout_seconds: float = 2.0,
        monotonic: Callable[[], float] = monotonic,
    ) -> None:
        self._store = store
        self._thresholds = thresholds
        self._last_run = last_run
        self._cache = cache
        self._circuit = circuit
        self._timeout_seconds = timeout_seconds
        self._monotonic = monotonic
        self._task: asyncio.Task[Health] | None = None
        self._begun = 0.0
        self._was_gone = False

    async def look(self) -> Health:
        """How everything is. Never raises, and takes no longer than its time-out."""
        task = self._task
        if task is None or self._is_old(task):
            self._begun = self._monotonic()
            task = self._task = asyncio.create_task(self._look(), name="gatekeeper health")
        return await asyncio.shield(task)

    def _is_old(self, task: "asyncio.Task[Health]") -> bool:
        if task.get_loop() is not asyncio.get_running_loop() or task.cancelled():
            return True
        return task.done() and self._monotonic() - self._begun >= FRESH_SECONDS

    async def _look(self) -> Health:
        checks = list(await self._look_at_database())
        if self._circuit is not None:
            checks.append(_of_stripe(self._circuit))
        checks.append(_of_cache(self._cache))
        return Health(checks=tuple(checks))

    async def _look_at_database(self) -> list[HealthCheck]:
        begun = self._monotonic()
        fits: list[bool] = []

        def read(tx: Transaction) -> _Looked:
            fault = tx.survey.schema_fault()
            fits.append(fault is None)
            return _Looked(fault) if fault is not None else self._read(tx)

        try:
            with anyio.fail_after(self._timeout_seconds):
                looked = await self._store.read(read)
        except TimeoutError:
            seconds = f"{self._timeout_seconds:g} s"
            if not fits:
                return [_failing("database", f"no answer in {seconds}")]
            # A queue that takes long to count is long: no reason to serve nobody.
            late = [_degraded(name, f"not counted in {seconds}") for name in _QUEUES]
            return [_ok("database", "answers"), _ok("schema", _FITS), *late]
        except Exception as error:
            if not self._was_gone:  # once for an outage: health is asked for every second
                logger.warning("the database could not be looked at", exc_info=True)
            self._was_gone = True
            return [_failing("database", f"{type(error).__name__} (the log says more)")]
        self._was_gone = False
        milliseconds = (self._monotonic() - begun) * 1000
        database = _ok("database", f"answered in {milliseconds:.0f} ms")
        if looked.schema_fault is not None or looked.survey is None:
            return [database, _failing("schema", looked.schema_fault or "")]
        survey, limits = looked.survey, self._thresholds
        return [
            database,
            _ok("schema", _FITS),
            self._of_queue("inbox", survey.inbox, survey.at, limits.inbox_age_seconds),
            self._of_queue("outbox", survey.outbox, survey.at, limits.outbox_lag_seconds),
            self._of_usage(survey),
            self._of_queue("requests", survey.requests, survey.at, limits.outbox_lag_seconds),
            *_of_transfers(looked.refused),
            *self._of_reconciliation(looked.last_run, survey.at),
        ]

    def _read(self, tx: Transaction) -> _Looked:
        refused = len(tx.transfers.listed(TransferStatus.FAILED, _MANY))
        refused += sum(1 for one in tx.paybacks.unmade(_MANY) if one.status is PaybackStatus.FAILED)
        return _Looked(None, tx.survey.take(tx.now()), self._last_run(tx), refused)

    def _of_queue(
        self, name: str, backlog: Backlog, now: datetime, max_age_seconds: float
    ) -> HealthCheck:
        age = backlog.age_seconds(now)
        reason = f"{backlog.waiting} wait, the oldest for {age:.0f} s; {backlog.dead} dead"
        bad = age > max_age_seconds or backlog.dead > self._thresholds.dead_letters
        return _degraded(name, reason) if bad else _ok(name, reason)

    def _of_usage(self, survey: Survey) -> HealthCheck:
        limits, since = self._thresholds, survey.unsealed_since
        check = self._of_queue("usage", survey.usage, survey.at, limits.outbox_lag_seconds)
        waited = 0.0 if since is None else (survey.at - since).total_seconds()
        if waited <= limits.unsealed_seconds:
            return check
        return _degraded("usage", f"{check.reason}; none of the last {waited:.0f} s is sealed")

    def _of_reconciliation(self, last: LastRun | None, now: datetime) -> list[HealthCheck]:
        name, max_age = "reconciliation", self._thresholds.reconciliation_age
        if last is None or last.finished_at is None:
            if max_age is None:
                return []
            if last is None or last.since is None:
                return [_ok(name, "never ran; Stripe's account has not been seen yet")]
            waited = now - last.since
            reason = f"never ran, for {waited.total_seconds():.0f} s"
            return [_degraded(name, reason) if waited > max_age else _ok(name, reason)]
        age = now - last.finished_at
        reason = (
            f"ended {age.total_seconds():.0f} s ago; {last.drift} fields differed, "
            f"{last.unrepaired} objects could not be repaired"
        )
        bad = last.unrepaired > 0 or (max_age is not None and age > max_age)
        return [_degraded(name, reason) if bad else _ok(name, reason)]


def _of_transfers(refused: int) -> list[HealthCheck]:
    if not refused:
        return []
    at_least = "at least " if refused >= _MANY else ""
    return [_degraded("transfers", f"{at_least}{refused} to or from sellers were refused")]


def _of_stripe(circuit: Circuit) -> HealthCheck:
    if circuit.is_closed:
        return _ok("stripe", "no outage is known")
    return _degraded("stripe", "it does not answer; requests to it fail at once")


def _of_cache(cache: Cache[Any]) -> HealthCheck:
    if not cache.is_shared:
        return _ok("cache", "in this process alone, as it is set up")
    if cache.freshness is Freshness.BOUNDED:
        return _degraded("cache", "Redis does not answer; changes are seen late")
    return _ok("cache", f"invalidations are {cache.freshness.value}")


def _ok(name: str, reason: str) -> HealthCheck:
    return HealthCheck(name=name, status=HealthStatus.OK, reason=reason)


def _degraded(name: str, reason: str) -> HealthCheck:
    return HealthCheck(name=name, status=HealthStatus.DEGRADED, reason=reason)


def _failing(name: str, reason: str) -> HealthCheck:
    return HealthCheck(name=name, status=HealthStatus.FAILING, reason=reason)
