"""Carrying out the events of one object: our projection first, then the host's handlers.

A handler's effect and its completion share one transaction, so a crash at any point leads to the
same state: what is complete is not done again, the rest is. Stripe does not keep events in order
(https://docs.stripe.com/webhooks#event-ordering), so one that fails holds up no other.
"""

import logging
from collections.abc import Mapping, Sequence

from gatekeeper.errors import UnavailableError
from gatekeeper.services.bounded import bounded
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import EventStatus, InboxEvent
from gatekeeper.stripe.webhooks.event import WebhookEvent, customer_of
from gatekeeper.stripe.webhooks.failures import Verdict, judge
from gatekeeper.stripe.webhooks.leases import Lease
from gatekeeper.stripe.webhooks.policy import DispatchPolicy
from gatekeeper.stripe.webhooks.projecting import Complete, Projector
from gatekeeper.stripe.webhooks.registry import Registered, WebhookRegistry
from gatekeeper.stripe.webhooks.telling import Dispatching

logger = logging.getLogger("gatekeeper.webhooks")

PROJECTION = "gatekeeper.projection"
"""The completion name of our own work on an event."""

MAX_ERROR_CHARS = 500


class Carrier:
    """Carries out what a dispatcher has claimed, and notes what came of it."""

    def __init__(
        self,
        store: Store,
        registry: WebhookRegistry,
        projectors: Mapping[str, Projector],
        policy: DispatchPolicy,
    ) -> None:
        self._store = store
        self._registry = registry
        self._projectors = dict(projectors)
        self._policy = policy

    def work_of(self, event: InboxEvent) -> Sequence[str]:
        """What is done for an event, by the names of its completions."""
        ours = () if self._projector_of(event) is None else (PROJECTION,)
        return (*ours, *(one.name for one in self._registry.handlers_of(event.type)))

    def _projector_of(self, event: InboxEvent) -> Projector | None:
        projector = self._projectors.get(event.object_type or "")
        if projector is None or event.object_id is None:
            return None
        return projector if event.account is None or projector.connected else None

    async def carry_out(self, lease: Lease, telling: Dispatching) -> None:
        """Carry out the events of one object. A failure of one is noted with it.

        Raises:
            LeaseLostError: the object is somebody else's by now.
            StoreUnavailableError: what came of an event could not be noted.
        """
        done = await self._store.read(lambda tx: _completed(tx, lease.events))
        events = await self._project(lease, done, telling)
        heard = [event for event in events if self._wanted(event, done)]
        keys = {event.key for event in heard}
        if quiet := [event for event in events if event.key not in keys]:
            await lease.settle_done(quiet)
        for event in quiet:
            telling.settled(event, "done")
        for event in heard:
            await self._handle(lease, event, done, telling)

    async def _project(
        self, lease: Lease, done: Mapping[str, set[str]], telling: Dispatching
    ) -> Sequence[InboxEvent]:
        """Bring our copy of the object up to date; returns the events that handlers may have."""
        events = lease.events
        projector = self._projector_of(events[0])
        if projector is None:
            return events
        fresh = [event for event in events if PROJECTION not in done[event.key]]
        if not fresh:
            return events

        def complete(tx: Transaction) -> None:
            now = tx.now()
            for event in fresh:
                tx.inbox.complete(event.key, PROJECTION, now)

        await lease.ensure()
        try:
            await self._project_in_time(projector, fresh, complete)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is noted and tried again
            # They wait together, so that one fetch will serve them all.
            slowest = max(fresh, key=lambda event: event.attempts)
            verdict = await self._verdict(slowest, [error])
            for event in fresh:
                await self._note_failure(lease, event, [error], verdict, telling)
            return [event for event in events if PROJECTION in done[event.key]]
        return events

    async def _project_in_time(
        self, projector: Projector, events: Sequence[InboxEvent], complete: Complete
    ) -> None:
        seconds = self._policy.handler_timeout_seconds
        try:
            await bounded(projector.project(events, complete), seconds)
        except TimeoutError as error:
            # It waits for Stripe and the database alone: that one of them does not answer at all
            # is as much of an outage as when it refuses to.
            raise UnavailableError(f"Nothing was projected within {seconds:g} s.") from error

    def _wanted(self, event: InboxEvent, done: Mapping[str, set[str]]) -> Sequence[Registered]:
        """The host's handlers that have not completed an event or its twin."""
        completed = set().union(*(done.get(key, ()) for key in _keys_of(event)))
        handlers = self._registry.handlers_of(event.type)
        return [handler for handler in handlers if handler.name not in completed]

    async def _handle(
        self, lease: Lease, event: InboxEvent, done: dict[str, set[str]], telling: Dispatching
    ) -> None:
        """Run the host's handlers that have not completed this event or its twin, each whatever
        the others do; then settle it."""
        failures: list[Exception] = []
        keys = _keys_of(event)
        wanted = self._wanted(event, done)
        if wanted:
            customer = await self._store.read(lambda tx: customer_of(tx, event))
            seen = WebhookEvent(event, customer=customer)
            for handler in wanted:
                await lease.ensure()
                try:
                    await self._run_handler(handler, seen, keys)
                except Exception as error:  # noqa: BLE001 -- noted below, and tried again
                    failures.append(error)
                else:
                    for key in keys:
                        done.setdefault(key, set()).add(handler.name)
        if failures:
            verdict = await self._verdict(event, failures)
            await self._note_failure(lease, event, failures, verdict, telling)
        else:
            await lease.settle(event, EventStatus.DONE)
            telling.settled(event, "done")

    async def _run_handler(
        self, registered: Registered, event: WebhookEvent, keys: Sequence[str]
    ) -> None:
        event.take_writes()  # what an earlier handler left behind when it failed is not this one's
        await bounded(registered.handler(event), self._policy.handler_timeout_seconds)
        writes = event.take_writes()

        def complete(tx: Transaction) -> None:
            now = tx.now()
            recorded = [tx.inbox.complete(key, registered.name, now) for key in keys]
            if all(recorded):
                for write in writes:
                    write(tx)

        await self._store.write(complete)

    async def _verdict(self, event: InboxEvent, failures: Sequence[Exception]) -> Verdict:
        """What becomes of an event that failed. An outage counts no attempts, so that its wait
        grows with the event's age instead; nor does the wait for what is not there yet."""
        age = await self._store.read(lambda tx: tx.now()) - event.received_at
        return judge(self._policy, failures, attempts=event.attempts, age=age)

    async def _note_failure(
        self,
        lease: Lease,
        event: InboxEvent,
        failures: Sequence[Exception],
        verdict: Verdict,
        telling: Dispatching,
    ) -> None:
        """Put the event back with a delay, or give it up; nothing is given up for an outage."""
        reason = "; ".join(f"{type(error).__name__}: {error}" for error in failures)
        reason = reason[:MAX_ERROR_CHARS]
        spent = verdict.counted and event.attempts >= self._policy.max_attempts
        if verdict.final or spent:
            logger.error(
                "event %s (%s) is a dead letter after %d attempts: %s",
                event.event_id,
                event.type,
                event.attempts,
                reason,
                exc_info=failures[0],
            )
            await lease.settle(event, EventStatus.DEAD, error=reason, kind=verdict.kind)
            telling.settled(event, "dead")
            return
        delay = verdict.delay
        logger.warning(
            "event %s (%s) failed, attempt %d, again in %.0f s: %s",
            event.event_id,
            event.type,
            event.attempts,
            delay.total_seconds(),
            reason,
            exc_info=failures[0],
        )
        await lease.settle(
            event,
            EventStatus.PENDING,
            delay=delay,
            error=reason,
            kind=verdict.kind,
            counted=verdict.counted,
        )
        telling.settled(event, "retry")


def _keys_of(event: InboxEvent) -> tuple[str, ...]:
    """Under which keys the completions of an event are recorded: its own, and, of a thin event,
    that of the snapshot which tells of the same change. A handler runs for one of the two."""
    return (event.key,) if event.twin is None else (event.key, event.twin)


def _completed(tx: Transaction, events: Sequence[InboxEvent]) -> dict[str, set[str]]:
    keys = {key for event in events for key in _keys_of(event)}
    return {key: set(tx.inbox.completed(key)) for key in keys}
