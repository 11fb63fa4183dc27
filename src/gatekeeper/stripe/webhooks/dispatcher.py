"""The dispatcher: claims stored events and carries each out.

A handler's effect and its completion share one transaction, so a crash at any point leads to the
same state: what is complete is not done again, the rest is. Stripe does not keep events in order
(https://docs.stripe.com/webhooks#event-ordering), so one that fails holds up no other; only events
of one object are never worked on by two at once.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import groupby

import anyio

from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import EventStatus, InboxEvent
from gatekeeper.stripe.webhooks.event import WebhookEvent, stripe_customer_of
from gatekeeper.stripe.webhooks.policy import DispatchPolicy
from gatekeeper.stripe.webhooks.projecting import Projector
from gatekeeper.stripe.webhooks.registry import Registered, WebhookRegistry

logger = logging.getLogger("gatekeeper.webhooks")

PROJECTION = "gatekeeper.projection"
"""The completion name of our own work on an event."""

MAX_ERROR_CHARS = 500

_RETURN_SECONDS = 2.0
"""How long a dispatcher that is being stopped may take to give back what it had claimed."""


class Dispatcher:
    """Runs the projections and the host's handlers for what intake has stored."""

    def __init__(
        self,
        store: Store,
        registry: WebhookRegistry,
        projectors: Mapping[str, Projector] | None = None,
        policy: DispatchPolicy | None = None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._projectors = dict(projectors or {})
        self.policy = policy or DispatchPolicy()
        self._wake = anyio.Event()

    def nudge(self) -> None:
        """Say that something new has been stored; must be called on the event loop."""
        self._wake.set()

    async def run(self) -> None:
        """Dispatch for ever. An outage of the database is waited out."""
        while True:
            self._wake = anyio.Event()
            try:
                found = await self.run_once()
            except Exception:
                logger.exception("dispatch was interrupted; it goes on")
                found = 0
            if not found:
                with anyio.move_on_after(self.policy.poll_seconds):
                    await self._wake.wait()

    async def run_once(self) -> int:
        """Claim what is due, carry it out, and return how many events were claimed.

        Raises:
            StoreUnavailableError: nothing was claimed.
        """
        self._registry.freeze()
        events = await self._store.write(self._claim)
        limiter = anyio.CapacityLimiter(self.policy.concurrency)

        async def limited(of_object: Sequence[InboxEvent]) -> None:
            async with limiter:
                await self._dispatch_object(of_object)

        try:
            async with anyio.create_task_group() as group:
                ordered = sorted(events, key=lambda event: event.object_key)  # stable
                for _, of_object in groupby(ordered, key=lambda event: event.object_key):
                    group.start_soon(limited, tuple(of_object))
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(_RETURN_SECONDS, shield=True):
                await self._give_back(events)
            raise
        return len(events)

    async def drain(self) -> int:
        """Dispatch until nothing is due; returns how many events were claimed."""
        total = 0
        while claimed := await self.run_once():
            total += claimed
        return total

    def _claim(self, tx: Transaction) -> Sequence[InboxEvent]:
        now = tx.now()
        lease_until = now + timedelta(seconds=self.policy.lease_seconds)
        return tx.inbox.claim(now, lease_until, self.policy.batch)

    async def _give_back(self, events: Sequence[InboxEvent]) -> None:
        """End the leases of what was not finished, so that the next process need not wait."""

        def work(tx: Transaction) -> None:
            for event in events:
                stored = tx.inbox.get(event.key)
                if stored is not None and stored.leased_until == event.leased_until:
                    tx.inbox.settle(event.key, EventStatus.PENDING, due_at=tx.now())

        await self._store.write(work)

    async def _dispatch_object(self, events: Sequence[InboxEvent]) -> None:
        """Carry out the events of one object. What can't even be noted is left to its lease."""
        try:
            done = await self._store.read(
                lambda tx: {event.key: tx.inbox.completed(event.key) for event in events}
            )
            ready = await self._project(events, done)
            for event in ready:
                await self._handle(event, done[event.key])
        except Exception:
            logger.exception(
                "events of %s are left to be tried again when their lease is over",
                events[0].object_key,
            )

    async def _project(
        self, events: Sequence[InboxEvent], done: Mapping[str, frozenset[str]]
    ) -> Sequence[InboxEvent]:
        """Bring our copy of the object up to date; returns the events that handlers may have."""
        first = events[0]
        projector = self._projectors.get(first.object_type or "")
        if projector is None or first.account is not None or first.object_id is None:
            return events
        fresh = [event for event in events if PROJECTION not in done[event.key]]
        if not fresh:
            return events

        def complete(tx: Transaction) -> None:
            for event in fresh:
                tx.inbox.complete(event.key, PROJECTION, tx.now())

        try:
            with anyio.fail_after(self.policy.handler_timeout_seconds):
                await projector.project(fresh, complete)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is noted and tried again
            delay = self.policy.delay(max(event.attempts for event in fresh))
            for event in fresh:  # they wait together, so that one fetch will serve them all
                await self._note_failure(event, [error], delay)
            return [event for event in events if PROJECTION in done[event.key]]
        return events

    async def _handle(self, event: InboxEvent, done: frozenset[str]) -> None:
        """Run the host's handlers that have not completed this event, each whatever the others
        do; then settle it."""
        failures: list[Exception] = []
        wanted = [
            handler
            for handler in self._registry.handlers_of(event.type)
            if handler.name not in done
        ]
        if wanted:
            stripe_id = stripe_customer_of(event)
            customer = None
            if stripe_id is not None:
                customer = await self._store.read(lambda tx: tx.customers.by_stripe_id(stripe_id))
            seen = WebhookEvent(event, customer=None if customer is None else customer.id)
            for handler in wanted:
                try:
                    await self._run_handler(handler, seen, event.key)
                except Exception as error:  # noqa: BLE001 -- noted below, and tried again
                    failures.append(error)
        if failures:
            await self._note_failure(event, failures, self.policy.delay(event.attempts))
        else:
            await self._store.write(lambda tx: tx.inbox.settle(event.key, EventStatus.DONE))

    async def _run_handler(self, registered: Registered, event: WebhookEvent, key: str) -> None:
        event.take_writes()  # what an earlier handler left behind when it failed is not this one's
        with anyio.fail_after(self.policy.handler_timeout_seconds):
            await registered.handler(event)
        writes = event.take_writes()

        def complete(tx: Transaction) -> None:
            if tx.inbox.complete(key, registered.name, tx.now()):
                for write in writes:
                    write(tx)

        await self._store.write(complete)

    async def _note_failure(
        self, event: InboxEvent, failures: Sequence[Exception], delay: timedelta
    ) -> None:
        """Put the event back with a delay, or give it up."""
        reason = "; ".join(f"{type(error).__name__}: {error}" for error in failures)
        reason = reason[:MAX_ERROR_CHARS]
        dead = event.attempts >= self.policy.max_attempts
        if dead:
            logger.error(
                "event %s (%s) is a dead letter after %d attempts: %s",
                event.event_id,
                event.type,
                event.attempts,
                reason,
                exc_info=failures[0],
            )
        else:
            logger.warning(
                "event %s (%s) failed, attempt %d, again in %.0f s: %s",
                event.event_id,
                event.type,
                event.attempts,
                delay.total_seconds(),
                reason,
                exc_info=failures[0],
            )

        def work(tx: Transaction) -> None:
            if dead:
                tx.inbox.settle(event.key, EventStatus.DEAD, error=reason)
            else:
                due_at = tx.now() + delay
                tx.inbox.settle(event.key, EventStatus.PENDING, due_at=due_at, error=reason)

        await self._store.write(work)
