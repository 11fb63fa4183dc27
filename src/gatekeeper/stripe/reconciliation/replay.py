"""The replay of events: what Stripe made and we were never told of.

Stripe lists the events of the last 30 days (https://docs.stripe.com/api/events/list), newest first,
in pages. They are asked for in windows of time, the oldest first, so that a replay that is cut off
goes on where it was; each run begins a little before the end of the last, for an event may be
listed later than it was made, and clocks differ. What came already is known by its id.
"""

import logging
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from gatekeeper.errors import PayloadError, StripeRequestError
from gatekeeper.storage.port import Store
from gatekeeper.storage.records import EventStatus
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.long_work import Held
from gatekeeper.stripe.reconciliation.report import Watch
from gatekeeper.stripe.webhooks import WebhookReceiver

logger = logging.getLogger("gatekeeper.reconciliation")

KEPT: Final = timedelta(days=30)
"""How long Stripe lists events."""

_MAX_TYPES: Final = 20
"""The most types that the listing can be narrowed to."""


class EventReplay:
    """Puts missed events into the inbox, exactly as a webhook would have."""

    def __init__(
        self,
        gateway: StripeGateway,
        store: Store,
        receiver: WebhookReceiver,
        *,
        overlap: timedelta,
        window: timedelta,
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._receiver = receiver
        self._overlap = overlap
        self._window = window

    async def run(
        self,
        types: Collection[str],
        state: dict[str, Any],
        since: datetime | None,
        watch: Watch,
        held: Held | None,
    ) -> tuple[int, int]:
        """Replay what was made since the last run, or since an instant; returns how many events
        Stripe listed, and how many of them were new. Without `held` nothing is written.

        Raises:
            StripeUnavailableError, StripeRequestError, StoreUnavailableError: what was replayed
                before stays so, and the next run goes on there.
        """
        now = await self._store.read(lambda tx: tx.now())
        start = await self._start(state.get("through"), since, now)
        listed = missed = 0
        while True:
            end = start + self._window
            is_last = end >= now
            seen, new = await self._between(types, start, None if is_last else end, watch, held)
            listed, missed = listed + seen, missed + new
            through = now if is_last else end
            if held is not None and since is None:
                await held.save(through=int(through.timestamp()))
            if is_last:
                return listed, missed
            start = end

    async def run_connected(
        self,
        types: Collection[str],
        state: dict[str, Any],
        since: datetime | None,
        watch: Watch,
        held: Held | None,
    ) -> tuple[int, int]:
        """As `run`, for the accounts that are connected to ours, one after the other: Stripe lists
        the events of each to whoever asks in its name.

        Raises:
            StripeUnavailableError, StripeRequestError, StoreUnavailableError: the next run goes on
                with the account at hand.
        """
        now = await self._store.read(lambda tx: tx.now())
        start = await self._start(state.get("connected_through"), since, now)
        accounts = await self._gateway.listed("/v1/accounts", what="listing connected accounts")
        after = "" if since is not None else state.get("connected_after") or ""
        # A round that was cut off is through with what was made until it began: the accounts that
        # it had done already are not asked again before the next.
        begun = int(now.timestamp())
        if after:
            begun = state.get("connected_begun", begun)
        listed = missed = 0
        for account in sorted(one["id"] for one in accounts):
            if account <= after:
                continue
            try:
                seen, new = await self._between(types, start, None, watch, held, account)
            except StripeRequestError as error:  # it has left us since, say
                logger.warning("the events of account %s are not to be had: %s", account, error)
                continue
            listed, missed = listed + seen, missed + new
            if held is not None and since is None:
                await held.save(connected_after=account, connected_begun=begun)
        if held is not None and since is None:
            await held.save(connected_through=begun, connected_after=None)
        return listed, missed

    async def _start(self, through: int | None, since: datetime | None, now: datetime) -> datetime:
        """Where to begin: what Stripe no longer lists is left to the sweep of objects."""
        if since is None:
            if through is not None:
                since = datetime.fromtimestamp(through, UTC) - self._overlap
            else:
                since = (await self._first_received() or now) - self._overlap
        if since < now - KEPT:
            logger.warning(
                "events of before %s are asked for, but Stripe lists the last %d days only",
                now - KEPT,
                KEPT.days,
            )
            return now - KEPT
        return since

    async def _first_received(self) -> datetime | None:
        """When the first event that came was made: nothing of before we listened is replayed."""
        statuses = (EventStatus.DONE, EventStatus.PENDING, EventStatus.DEAD)
        found = await self._store.read(
            lambda tx: [one for status in statuses for one in tx.inbox.by_status(status, 1)]
        )
        return min((one.created_at for one in found), default=None)

    async def _between(
        self,
        types: Collection[str],
        start: datetime,
        end: datetime | None,
        watch: Watch,
        held: Held | None,
        account: str | None = None,
    ) -> tuple[int, int]:
        span = {"gte": int(start.timestamp())}
        if end is not None:
            span["lt"] = int(end.timestamp())
        query: dict[str, Any] = {"created": span}
        if len(types) <= _MAX_TYPES:
            query["types"] = sorted(types)
        listed = missed = 0
        pages = self._gateway.pages("/v1/events", query, what="listing events", account=account)
        async for page in pages:
            # A webhook names the account; a listing that is asked for in its name need not.
            of = {} if account is None else {"account": account}
            wanted = [{**event, **of} for event in page if event["type"] in types]
            missed += await self._take(wanted, write=held is not None)
            listed += len(wanted)
            watch("events", len(page))
            if held is not None:
                await held.save()
        return listed, missed

    async def _take(self, events: Sequence[Obj], *, write: bool) -> int:
        keys = [f"{event.get('account') or ''}/{event['id']}" for event in events]
        known = await self._store.read(
            lambda tx: {key for key in keys if tx.inbox.get(key) is not None}
        )
        missed = [event for event, key in zip(events, keys, strict=True) if key not in known]
        if write:
            # The oldest first, as they would have come.
            for event in reversed(missed):
                try:
                    await self._receiver.replay(msgspec.json.encode(event))
                except PayloadError:  # it would be one for ever: what follows goes on
                    logger.exception("event %s can't be stored", event["id"])
        return len(missed)
