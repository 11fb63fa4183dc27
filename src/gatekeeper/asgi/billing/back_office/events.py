"""Events that came in: looked at, carried out once more, given up."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from gatekeeper.asgi.billing.back_office.shared import (
    CHANGING,
    ActionView,
    action_view,
    mandate_of,
    moment,
    operation,
)
from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.paging import Page, PageQuery, after_of, paged
from gatekeeper.asgi.billing.values import Id, Instant, Reason
from gatekeeper.asgi.billing.views import like
from gatekeeper.errors import InvalidInputError, NotFoundError
from gatekeeper.gate import Gatekeeper
from gatekeeper.storage.desk import EventSelection
from gatekeeper.storage.desk import Place as EventPlace
from gatekeeper.storage.records import (
    ErrorKind,
    EventStatus,
    InboxEvent,
)


class EventsQuery(PageQuery, frozen=True, kw_only=True):
    """Which events.

    Attributes:
        type: "invoice.paid", or "invoice.*" for all whose type begins so.
        object_id: what they are about.
        kind: what is known of their last error.
    """

    status: EventStatus | None = None
    type: Id | None = None
    object_id: Id | None = None
    kind: ErrorKind | None = None


class EventQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """On which connected account the event is, if on one."""

    account: Id | None = None


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """An event of Stripe's as it came, without what it says.

    Attributes:
        account: the connected account that it is of.
        status: where it is on its way.
    """

    id: str
    account: str | None
    type: str
    object_type: str | None
    object_id: str | None
    status: EventStatus
    attempts: int
    created_at: datetime
    received_at: datetime
    due_at: datetime
    last_error: str | None
    error_kind: ErrorKind | None


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """An event, with what was done for it.

    Attributes:
        completed: when each handler has completed it, by the handlers' names.
        outstanding: what would still be done.
    """

    event: EventRow
    completed: dict[str, datetime]
    outstanding: list[str]


class ReplayBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Why an event is carried out once more.

    Attributes:
        again: the handlers that run again though they have completed it.
    """

    reason: Reason
    account: Id | None = None
    again: Annotated[list[Id], Meta(max_length=100)] = []


class DiscardBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Why an event is given up."""

    reason: Reason
    account: Id | None = None


class ManyBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Which dead letters, and why.

    Attributes:
        dry_run: count them, and change nothing.
        type, object_id, kind: as for the list of events.
        since: received from then on.
        until: received before then.
    """

    reason: Reason
    dry_run: bool = False
    type: Id | None = None
    object_id: Id | None = None
    kind: ErrorKind | None = None
    since: Instant | None = None
    until: Instant | None = None


class ManyView(msgspec.Struct, frozen=True, kw_only=True):
    """To how many it was done, or would be."""

    events: int
    dry_run: bool


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operations."""
    routes = _Events(gate)
    one = "/admin/events/{event}"
    return (
        operation(
            "GET",
            "/admin/events",
            routes.list,
            summary="Events of Stripe's, the oldest first.",
            query=EventsQuery,
            answer=Page[EventRow],
            errors=(InvalidInputError,),
        ),
        operation(
            "POST",
            "/admin/events/replay",
            routes.replay_all,
            summary="Have dead letters carried out once more.",
            body=ManyBody,
            answer=ManyView,
            errors=CHANGING,
        ),
        operation(
            "POST",
            "/admin/events/discard",
            routes.discard_all,
            summary="Give up dead letters.",
            body=ManyBody,
            answer=ManyView,
            errors=CHANGING,
        ),
        operation(
            "GET",
            one,
            routes.show,
            summary="An event, with what was done for it.",
            query=EventQuery,
            answer=EventView,
            errors=(NotFoundError,),
        ),
        operation(
            "POST",
            f"{one}/replay",
            routes.replay,
            summary="Have an event carried out once more.",
            body=ReplayBody,
            answer=ActionView,
            errors=CHANGING,
        ),
        operation(
            "POST",
            f"{one}/discard",
            routes.discard,
            summary="Give an event up.",
            body=DiscardBody,
            answer=ActionView,
            errors=CHANGING,
        ),
    )


class _Events:
    def __init__(self, gate: Gatekeeper) -> None:
        self._desk = gate.back_office.events

    async def list(self, call: Call[None, EventsQuery]) -> Page[EventRow]:
        query = call.query
        found = await self._desk.list(
            EventSelection(
                status=query.status, type=query.type, object_id=query.object_id, kind=query.kind
            ),
            limit=query.limit + 1,
            after=_event_place(query.cursor),
        )
        return paged(found, query, _event, lambda one: (one.received_at, one.key))

    async def show(self, call: Call[None, EventQuery]) -> EventView:
        found = await self._desk.show(_named(call, call.query.account))
        return EventView(
            event=_event(found.event),
            completed=dict(found.completions),
            outstanding=list(found.outstanding),
        )

    async def replay(self, call: Call[ReplayBody]) -> ActionView:
        event = _named(call, call.body.account)
        return action_view(await self._desk.retry(mandate_of(call), event, again=call.body.again))

    async def discard(self, call: Call[DiscardBody]) -> ActionView:
        event = _named(call, call.body.account)
        return action_view(await self._desk.discard(mandate_of(call), event))

    async def replay_all(self, call: Call[ManyBody]) -> ManyView:
        dry_run = call.body.dry_run
        selection = _selection(call.body)
        count = await self._desk.retry_all(mandate_of(call), selection, dry_run=dry_run)
        return ManyView(events=count, dry_run=dry_run)

    async def discard_all(self, call: Call[ManyBody]) -> ManyView:
        dry_run = call.body.dry_run
        selection = _selection(call.body)
        count = await self._desk.discard_all(mandate_of(call), selection, dry_run=dry_run)
        return ManyView(events=count, dry_run=dry_run)


def _named(call: Call, account: str | None) -> str:
    event = call.path["event"]
    return event if account is None else f"{account}/{event}"


def _selection(body: ManyBody) -> EventSelection:
    return EventSelection(
        type=body.type,
        object_id=body.object_id,
        kind=body.kind,
        since=moment(body.since, "since"),
        until=moment(body.until, "until"),
    )


def _event_place(cursor: str | None) -> EventPlace | None:
    place = after_of(cursor)
    return None if place is None else EventPlace(*place)


def _event(event: InboxEvent) -> EventRow:
    return like(EventRow, event, id=event.event_id)
