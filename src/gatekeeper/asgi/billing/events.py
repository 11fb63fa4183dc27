"""`GET events`: what has changed, as it changes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from gatekeeper.asgi.billing import me
from gatekeeper.asgi.billing.event_stream import (
    HEARTBEAT,
    MEDIA_TYPE,
    EventStream,
    frame,
    server_is_leaving,
)
from gatekeeper.asgi.billing.invoices import payment_view
from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.errors import InvalidInputError, OverloadedError
from gatekeeper.gate import Gatekeeper
from gatekeeper.services.live import Known, News, Watch, news_of

LAST_ID = "last-event-id"


class Ready(msgspec.Struct, frozen=True):
    """The connection stands; from here on, changes are told."""


class Balances(msgspec.Struct, frozen=True):
    """The balances as they are now, by unit, and what there is to warn of."""

    balances: dict[str, me.BalanceView]
    warnings: list[me.WarningView]


class Warnings(msgspec.Struct, frozen=True):
    """What is low, or used up."""

    warnings: list[me.WarningView]


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operation."""
    events = _Events(gate, options)
    return (
        Operation(
            "GET",
            "/events",
            events.answer,
            summary="Server-sent events: balance.changed, plan.changed, payment.settled, "
            "credits.low. Resumes after Last-Event-ID.",
            errors=(OverloadedError,),
            media_types=(MEDIA_TYPE,),
        ),
    )


class _Events:
    def __init__(self, gate: Gatekeeper, options: BillingOptions) -> None:
        self._gate = gate
        self._limits = options.events

    async def answer(self, call: Call) -> Response:
        limits = self._limits
        known = _known(call.request.headers.get(LAST_ID))
        watching = self._gate.live.watch(
            call.customer, per_customer=limits.per_customer, per_process=limits.per_process
        )

        def frames(watch: Watch) -> AsyncIterator[bytes]:
            return self._frames(watch, known)

        return EventStream(watching, frames)

    async def _frames(self, watch: Watch, known: Known | None) -> AsyncIterator[bytes]:
        """What there is to tell, until the connection's time is over."""
        limits = self._limits
        clock = asyncio.get_running_loop().time
        end = clock() + limits.life_seconds
        yield HEARTBEAT  # the answer begins, whoever waits for its first byte
        while not watch.is_over and (left := end - clock()) > 0:
            self._gate.live.begin(
                self._gate.tasks,
                every_seconds=limits.every_seconds,
                is_leaving=server_is_leaving,
            )
            if not await watch.wait(min(limits.heartbeat_seconds, left)):
                yield HEARTBEAT
                continue
            seen = watch.latest
            if seen is None:
                continue
            now = Known.of(seen)
            if known is None:
                yield frame("ready", Ready(), event_id=now.text())
            else:
                news = list(news_of(known, seen))
                for place, one in enumerate(news, start=1):
                    # The id comes with the last: who is cut off before it, hears all of it again.
                    event_id = now.text() if place == len(news) else None
                    yield frame(one.topic, _data(one), event_id=event_id)
            known = now


def _known(last_id: str | None) -> Known | None:
    """What the client was told last; None if that is nothing of ours."""
    try:
        return None if last_id is None else Known.read(last_id)
    except InvalidInputError:
        return None


def _data(news: News) -> Any:
    if news.payment is not None:
        return payment_view(news.payment)
    shown = me.shown(news.seen.standing)
    if news.topic == "balance.changed":
        return Balances(shown.balances, shown.warnings)
    if news.topic == "credits.low":
        return Warnings([one for one in shown.warnings if one.code.startswith("credits_")])
    return shown
