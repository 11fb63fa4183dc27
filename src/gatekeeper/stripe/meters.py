"""Telling Stripe of metered usage: one meter event for each sealed window.

Source: https://docs.stripe.com/billing/subscriptions/usage-based/recording-usage-api and
https://docs.stripe.com/api/billing/meter-event/create. An identifier counts once within 24 hours;
a second time is a 400 "An event already exists with identifier ...", with the code
`duplicate_meter_event` or none at all: it means that the event was delivered. Whoever is killed
between the sending and the marking sends it again. What may have reached Stripe longer ago than
Stripe remembers identifiers is not sent again by itself: somebody has to look.
"""

import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import anyio
from msgspec.structs import replace

from gatekeeper.catalog import Catalog, Meter
from gatekeeper.errors import GatekeeperError, StripeRequestError, StripeUnavailableError
from gatekeeper.services.metering import MAX_AGE, TOO_OLD, log_dead, was_rejected
from gatekeeper.storage.metering import UsageWindow, WindowStatus
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import Customer
from gatekeeper.stripe.client import PAGE, StripeGateway
from gatekeeper.stripe.identities import StripeIdentities
from gatekeeper.stripe.webhooks.policy import DispatchPolicy

logger = logging.getLogger("gatekeeper.metering")

PATH: Final = "/v1/billing/meter_events"
REMEMBERED: Final = timedelta(hours=23)
"""Stripe remembers identifiers for 24 hours; an hour is for clocks and slow requests."""

UNCERTAIN: Final = (
    "uncertain: it may have reached Stripe, which remembers identifiers for 24 hours only; compare "
    "with its summaries, then retry or discard"
)

_MAY_PASS: Final = frozenset({401, 403})
"""A key that is wrong, or may not do this: a setting, which somebody will mend."""


@dataclass(frozen=True, slots=True)
class SendingPolicy:
    """How quickly and how patiently usage is sent.

    Attributes:
        per_second: how many events at most: Stripe takes 1,000 a second in live mode from all
            callers together, and 25 requests of any kind in test mode.
        concurrency: how many at once; of one customer and meter it is never more than one.
        batch: how many windows are leased at once.
        lease_seconds: after a crash they are sent again when this is over.
        poll_seconds: how often to look for what is due.
        retry: how long to wait after a failure.
    """

    per_second: float = 200.0
    concurrency: int = 8
    batch: int = 200
    lease_seconds: float = 120.0
    poll_seconds: float = 5.0
    retry: DispatchPolicy = field(default_factory=DispatchPolicy)


TEST_MODE: Final = SendingPolicy(per_second=10.0, concurrency=2, batch=100)
"""Within the basic limit of test mode, with room for other requests."""


class MeterSender:
    """Sends what is due. Several may run at once: each window is leased to one of them."""

    def __init__(
        self,
        gateway: StripeGateway,
        store: Store,
        catalog: Catalog,
        identities: StripeIdentities,
        *,
        policy: SendingPolicy | None = None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._meters = catalog.meters
        self._identities = identities
        self._policy = policy or (SendingPolicy() if gateway.livemode else TEST_MODE)
        self._sleep = sleep

    async def run(self) -> None:
        """Do it for ever. An outage of the database is waited out."""
        while True:
            try:
                await self.send_due()
            except Exception:
                logger.exception("sending usage was interrupted; it goes on")
            await anyio.sleep(self._policy.poll_seconds)

    async def send_due(self) -> int:
        """Send all that is due; returns how many windows Stripe has been told of."""
        told = 0
        lease = timedelta(seconds=self._policy.lease_seconds)

        def claim(tx: Transaction) -> tuple[datetime, Sequence[UsageWindow]]:
            now = tx.now()
            return now, tx.metering.claim(now, now + lease, self._policy.batch)

        while True:
            now, windows = await self._store.write(claim)
            if not windows:
                return told
            told += await self._send_all(windows, now)

    async def _send_all(self, windows: Sequence[UsageWindow], now: datetime) -> int:
        """Send leased windows: in order for one customer and meter, at once for several."""
        groups: dict[tuple[str, str], list[UsageWindow]] = defaultdict(list)
        for window in windows:
            groups[window.customer, window.meter].append(window)
        limiter = anyio.CapacityLimiter(self._policy.concurrency)
        told = 0

        async def send(group: list[UsageWindow]) -> None:
            nonlocal told
            async with limiter:
                for window in group:
                    changed = await self._send(window, now)
                    await self._save(changed)
                    told += changed.status is WindowStatus.SENT

        async with anyio.create_task_group() as tasks:
            for group in groups.values():
                tasks.start_soon(send, group)
                await self._sleep(len(group) / self._policy.per_second)
        return told

    async def _send(self, window: UsageWindow, now: datetime) -> UsageWindow:
        """Send one window; returns what became of it."""
        meter = self._meters.get(window.meter)
        reason = _hopeless(window, now)
        if meter is None or reason is not None:
            return _dead(window, reason or "unknown: the catalogue has no such meter", now)
        try:
            stripe_id = await self._identities.ensure(window.customer)
        except StripeUnavailableError as error:
            return self._postponed(_untried(window, now), str(error), now)
        except GatekeeperError as error:
            return _dead(window, f"no customer at Stripe: {error}", now)
        try:
            await self._gateway.post(PATH, event_of(window, meter, stripe_id), what="a meter event")
        except StripeUnavailableError as error:
            return self._postponed(window, str(error), now)
        except StripeRequestError as error:
            if not is_duplicate(error):
                if error.params.get("stripe_status") in _MAY_PASS:
                    return self._postponed(_untried(window, now), str(error), now)
                return _dead(window, str(error), now)
            logger.info("Stripe has the meter event %s already", window.identifier)
        return replace(
            window, status=WindowStatus.SENT, sent_at=now, leased_until=None, last_error=None
        )

    def _postponed(self, window: UsageWindow, error: str, now: datetime) -> UsageWindow:
        due_at = now + self._policy.retry.delay(window.attempts)
        return replace(window, due_at=due_at, leased_until=None, last_error=error)

    async def _save(self, window: UsageWindow) -> None:
        def save(tx: Transaction) -> None:
            stored = tx.metering.window(window.identifier, lock=True)
            # Somebody may have discarded or erased it meanwhile; that it was sent counts for more.
            if stored is None or stored.customer != window.customer:
                return
            if was_rejected(stored):
                return  # Stripe has said so meanwhile, and says no more
            if stored.status is WindowStatus.PENDING or window.status is WindowStatus.SENT:
                tx.metering.save_window(window)

        await self._store.write(save)
        if window.status is WindowStatus.DEAD:
            log_dead(window)


def event_of(window: UsageWindow, meter: Meter, stripe_id: str) -> dict[str, Any]:
    """The parameters of a window's meter event."""
    return {
        "event_name": meter.event_name,
        "identifier": window.identifier,
        "timestamp": int(window.at.timestamp()),
        "payload": {"stripe_customer_id": stripe_id, "value": str(window.quantity)},
    }


def is_duplicate(error: StripeRequestError) -> bool:
    """Whether Stripe refuses an identifier because it has it already."""
    if error.params.get("stripe_code") == "duplicate_meter_event":
        return True
    return "event already exists with identifier" in str(error).lower()


def _hopeless(window: UsageWindow, now: datetime) -> str | None:
    """Why a window is not to be sent, whatever Stripe would say of it."""
    if window.at < now - MAX_AGE:
        return TOO_OLD
    if window.tried_at is not None and window.tried_at < now - REMEMBERED:
        return UNCERTAIN
    return None


def _untried(window: UsageWindow, now: datetime) -> UsageWindow:
    """The window, if this attempt was its first, as one that has certainly not reached Stripe."""
    return replace(window, tried_at=None) if window.tried_at == now else window


def _dead(window: UsageWindow, reason: str, now: datetime) -> UsageWindow:
    """The window as a dead letter."""
    ended = _untried(window, now)
    return replace(ended, status=WindowStatus.DEAD, leased_until=None, last_error=reason)


# -- comparing with what Stripe has ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Compared:
    """What Stripe has of a meter for a customer, beside what it was told."""

    customer: str
    meter: str
    told: int
    at_stripe: int

    @property
    def agrees(self) -> bool:
        """Whether both are the same."""
        return self.told == self.at_stripe


async def told_customers(store: Store, since: datetime, until: datetime) -> list[str]:
    """Everybody of whom Stripe was told anything in this time, in the order of their ids, but for
    those who are gone: Stripe has no sums of them."""
    start, end = _minutes(since, until)
    told: list[str] = []
    after: str | None = ""

    def page(tx: Transaction) -> tuple[list[str], str | None]:
        found = tx.metering.told_customers(start, end, after=after or "", limit=PAGE)
        there = [one for one in found if not _is_gone(tx.customers.get(one))]
        return there, found[-1] if len(found) == PAGE else None

    while after is not None:
        there, after = await store.read(page)
        told += there
    return told


def _is_gone(known: Customer | None) -> bool:
    return known is not None and known.deleted_at is not None


def _minutes(*moments: datetime) -> tuple[datetime, ...]:
    """Moments down to the minute, which is what Stripe sums up by."""
    return tuple(at.astimezone(UTC).replace(second=0, microsecond=0) for at in moments)


async def compare(
    gateway: StripeGateway,
    store: Store,
    catalog: Catalog,
    customer: str,
    since: datetime,
    until: datetime,
) -> list[Compared]:
    """What Stripe has summed up for a customer, by meter, beside what it was told.

    Stripe sums up whole minutes, and later than it answers: the last minutes may be missing
    (https://docs.stripe.com/api/billing/meter-event-summary). `since` and `until` are taken down
    to the minute.

    Raises:
        StripeUnavailableError, StripeRequestError.
    """
    start, end = _minutes(since, until)
    known = await store.read(lambda tx: tx.customers.get(customer))
    ids = {meter["event_name"]: meter["id"] for meter in await gateway.meters()}
    found = []
    for meter in catalog.meters.values():

        def told(tx: Transaction, key: str = meter.key) -> int:
            return tx.metering.told(customer, key, start, end)

        at_stripe = 0
        if known is not None and known.stripe_id is not None and meter.event_name in ids:
            summaries = await gateway.listed(
                f"/v1/billing/meters/{ids[meter.event_name]}/event_summaries",
                {
                    "customer": known.stripe_id,
                    "start_time": int(start.timestamp()),
                    "end_time": int(end.timestamp()),
                },
                what="listing summaries of a meter",
            )
            at_stripe = int(sum(summary["aggregated_value"] for summary in summaries))
        found.append(Compared(customer, meter.key, await store.read(told), at_stripe))
    return found
