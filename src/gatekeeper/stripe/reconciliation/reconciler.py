"""The reconciler: replays events, dispatches them, sweeps the objects; by hand or on a schedule."""

import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import anyio
import msgspec

from gatekeeper.errors import ConflictError, GatekeeperError
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.client import StripeGateway
from gatekeeper.stripe.long_work import Held, held, state_of
from gatekeeper.stripe.reconciled import NAME
from gatekeeper.stripe.reconciliation.copies import CopySweep
from gatekeeper.stripe.reconciliation.replay import EventReplay
from gatekeeper.stripe.reconciliation.report import CopyCount, Report, Watch, unwatched
from gatekeeper.stripe.reconciliation.sweep import Found, ObjectSweep
from gatekeeper.stripe.stamp import DatabaseStamp
from gatekeeper.stripe.webhooks import EVENT_TYPES, Projections, WebhookReceiver
from gatekeeper.telemetry import OFF, Stopwatch, Telemetry, metrics, spans

logger = logging.getLogger("gatekeeper.reconciliation")

_LOOK_SECONDS: Final = 60.0
"""How often the schedule looks whether a run is due."""

RETRY: Final = timedelta(minutes=15)
"""When the schedule tries again after a run that did not come to its end."""


class ReconcilePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When to reconcile and how.

    Attributes:
        every: how often the schedule runs it; None: never.
        overlap: how far before the end of the last replay the next one begins.
        window: the span of events that is asked for at once.
        connected: whether the events of connected accounts are replayed too, and their objects
            compared where all copies are.
        copies: whether a scheduled run compares all copies.
    """

    every: timedelta | None = timedelta(hours=24)
    overlap: timedelta = timedelta(minutes=10)
    window: timedelta = timedelta(hours=6)
    connected: bool = False
    copies: bool = False


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What one run is to do.

    Attributes:
        dry_run: find the differences and write nothing.
        events, objects: which of the two halves.
        copies: compare the copies of all objects, too.
        since: replay the events that were made since then, and compare the copies of what was;
            None: the events since the last run, and all copies.
        allow_revocations: go on although many subscriptions would end.
    """

    dry_run: bool = False
    events: bool = True
    objects: bool = True
    copies: bool = False
    since: datetime | None = None
    allow_revocations: bool = False


class Reconciler:
    """Reconciles one database with its Stripe account."""

    def __init__(
        self,
        gateway: StripeGateway,
        store: Store,
        receiver: WebhookReceiver,
        projections: Projections,
        policy: ReconcilePolicy | None = None,
        telemetry: Telemetry = OFF,
    ) -> None:
        self._telemetry = telemetry
        self.policy = policy or ReconcilePolicy()
        self._gateway = gateway
        self._store = store
        self._receiver = receiver
        self._replay = EventReplay(
            gateway, store, receiver, overlap=self.policy.overlap, window=self.policy.window
        )
        self._sweep = ObjectSweep(gateway, store, projections)
        self._copies = CopySweep(gateway, store, projections)

    async def run(self, options: RunOptions | None = None, watch: Watch = unwatched) -> Report:
        """Replay missed events and carry them out, then compare the objects and repair them.

        Raises:
            SweepStoppedError: too many subscriptions would end; no object was repaired.
            ConflictError: another process is at it.
            DatabaseStampError: the key is another account's.
            StripeUnavailableError, StripeRequestError, StoreUnavailableError: the next run goes on
                where this one ended.
        """
        options = options or RunOptions()
        await DatabaseStamp(self._store, self._gateway).confirm()
        if options.dry_run:
            return await self._measured(options, watch, None)
        async with held(self._store, NAME) as work:
            return await self._measured(options, watch, work)

    async def _measured(self, options: RunOptions, watch: Watch, work: Held | None) -> Report:
        timer, outcome = Stopwatch(), "failed"
        with self._telemetry.span(spans.RECONCILIATION) as span:
            try:
                if work is None:
                    state = await state_of(self._store, NAME)
                    report = await self._run(options, watch, state, None)
                else:
                    report = await self._run_held(options, watch, work)
                outcome = "finished"
            except GatekeeperError as error:
                outcome = error.code
                raise
            finally:
                span.set(metrics.OUTCOME, outcome)
                told = {metrics.OUTCOME: outcome}
                self._telemetry.record(metrics.RECONCILIATION_DURATION, timer.seconds, told)
        if not report.dry_run:
            self._tell(report)
        return report

    async def _run_held(self, options: RunOptions, watch: Watch, work: Held) -> Report:
        await work.save(tried=await self._store.read(_seconds))
        report = await self._run(options, watch, work.state, work)
        if options.objects:
            await work.save(
                finished=await self._store.read(_seconds),
                drift=len(report.drift),
                unrepaired=len(report.unrepaired),
            )
        return report

    def _tell(self, report: Report) -> None:
        tell = self._telemetry.count
        for kind, found in Counter(one.kind for one in report.drift).items():
            tell(metrics.RECONCILIATION_DRIFT, {metrics.KIND: kind}, found)
        for one in report.copies:
            if differing := one.missing + one.differing:
                tell(metrics.RECONCILIATION_DRIFT, {metrics.KIND: one.kind}, differing)
        if report.missed:
            tell(metrics.RECONCILIATION_MISSED, amount=report.missed)
        if report.unrepaired:
            tell(metrics.RECONCILIATION_UNREPAIRED, amount=len(report.unrepaired))

    async def run_if_due(self) -> Report | None:
        """What the schedule does. The first look notes from when on events are ours to have."""
        if not self._is_due(await state_of(self._store, NAME), await self._store.read(_seconds)):
            return None
        await DatabaseStamp(self._store, self._gateway).confirm()
        async with held(self._store, NAME) as work:
            now = await self._store.read(_seconds)
            if not self._is_due(work.state, now):
                return None  # another process has done it since we looked
            if _counts_from(work.state) is None:
                await work.save(**{"through": now, **work.state, "looked": now})
                return None
            options = RunOptions(copies=self.policy.copies)
            return await self._measured(options, unwatched, work)

    def _is_due(self, state: dict[str, Any], now: int) -> bool:
        """Whether it is time for a run, or for a first look."""
        every, begun = self.policy.every, _counts_from(state)
        if every is None or begun is None:
            return every is not None
        tried = state.get("tried", 0)
        waits_until = tried + RETRY.total_seconds() if tried > begun else 0
        return bool(now >= max(begun + every.total_seconds(), waits_until))

    async def loop(self) -> None:
        """Run whenever it is due, for ever. Whatever goes wrong is logged. Processes that start
        together look at different moments."""
        await anyio.sleep(random.uniform(0, _LOOK_SECONDS))  # noqa: S311 -- not a secret
        while True:
            await anyio.sleep(_LOOK_SECONDS)
            await logged(self.run_if_due)

    async def _run(
        self, options: RunOptions, watch: Watch, state: dict[str, Any], work: Held | None
    ) -> Report:
        listed = missed = 0
        if options.events:
            types = {*EVENT_TYPES, *self._receiver.registry.types}
            listed, missed = await self._replay.run(types, state, options.since, watch, work)
            if self.policy.connected:
                more = await self._replay.run_connected(types, state, options.since, watch, work)
                listed, missed = listed + more[0], missed + more[1]
            if missed and work is not None:
                async with work.kept():  # four days of events take a while
                    await self._receiver.drain()
        found, unrepaired = Found([], 0, 0, 0), list[str]()
        if options.objects:
            found = await self._sweep.look(watch, work)
            if work is not None:
                if not options.allow_revocations:
                    self._sweep.guard(found)
                unrepaired = await self._sweep.repair(found.drift, work)
            unrepaired += found.unreadable
        copies: tuple[CopyCount, ...] = ()
        if options.copies:  # after the objects, from which more follows than a copy
            connected = self.policy.connected
            copies = await self._copies.run(options.since, watch, work, connected=connected)
            unrepaired += [name for one in copies for name in one.failed]
        report = Report(
            dry_run=options.dry_run,
            events=listed,
            missed=missed,
            objects=found.objects,
            strangers=found.strangers,
            drift=tuple(found.drift),
            unrepaired=tuple(unrepaired),
            copies=copies,
        )
        _log(report)
        return report


async def logged(run: Callable[[], Awaitable[Report | None]]) -> None:
    """Await a run of the schedule; what goes wrong is logged, and no concern of the caller's."""
    try:
        await run()
    except ConflictError as error:
        logger.info("not reconciled: %s", error)
    except Exception:
        logger.exception("reconciliation was interrupted; it goes on")


def _log(report: Report) -> None:
    level = logging.WARNING if report.missed or report.drift else logging.INFO
    logger.log(
        level,
        "reconciled%s: %d of %d events had not come, %d of %d objects' fields differed, %d objects "
        "could not be repaired",
        " (dry run)" if report.dry_run else "",
        report.missed,
        report.events,
        len(report.drift),
        report.objects,
        len(report.unrepaired),
    )
    for one in report.drift[:100]:
        logger.log(level, "differs: %s", one)


def _counts_from(state: dict[str, Any]) -> int | None:
    """From when the schedule counts: the end of the last run, else its first look."""
    found: int | None = state.get("finished", state.get("looked"))
    return found


def _seconds(tx: Transaction) -> int:
    return int(tx.now().astimezone(UTC).timestamp())
