"""Messages that have to leave: looked at, delivered again, deleted."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from gatekeeper.asgi.billing.back_office.shared import (
    CHANGING,
    ActionView,
    action_view,
    mandate_of,
    operation,
)
from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.paging import Page, PageQuery, after_of, paged
from gatekeeper.asgi.billing.values import Id, Reason
from gatekeeper.asgi.billing.views import like
from gatekeeper.errors import InvalidInputError
from gatekeeper.gate import Gatekeeper
from gatekeeper.storage.records import OutboxMessage, OutboxState


class OutboxQuery(PageQuery, frozen=True, kw_only=True):
    """Which messages."""

    state: OutboxState = OutboxState.DEAD


class MessageRow(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the outbox, without what it says.

    Attributes:
        receiver: whom it is for; empty until it is shared out.
    """

    id: str
    customer: str
    topic: str
    receiver: str
    attempts: int
    created_at: datetime
    due_at: datetime
    sent_at: datetime | None
    dead: bool
    last_error: str | None


class MessageBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Which message, or all dead letters, and why."""

    reason: Reason
    message: Id | None = None


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operations."""
    routes = _Outbox(gate)
    return (
        operation(
            "GET",
            "/admin/outbox",
            routes.list,
            summary="Messages of the outbox, the oldest first.",
            query=OutboxQuery,
            answer=Page[MessageRow],
            errors=(InvalidInputError,),
        ),
        operation(
            "POST",
            "/admin/outbox/retry",
            routes.retry,
            summary="Have dead letters, all or one, delivered again.",
            body=MessageBody,
            answer=ActionView,
            errors=CHANGING,
        ),
        operation(
            "POST",
            "/admin/outbox/discard",
            routes.discard,
            summary="Delete dead letters, or one message.",
            body=MessageBody,
            answer=ActionView,
            errors=CHANGING,
        ),
    )


class _Outbox:
    def __init__(self, gate: Gatekeeper) -> None:
        self._desk = gate.back_office.outbox

    async def list(self, call: Call[None, OutboxQuery]) -> Page[MessageRow]:
        query = call.query
        after = after_of(query.cursor)
        found = await self._desk.list(query.state, limit=query.limit + 1, after=after)
        sent = query.state is OutboxState.SENT
        return paged(
            found, query, _message, lambda one: (one.sent_at if sent else one.created_at, one.id)
        )

    async def retry(self, call: Call[MessageBody]) -> ActionView:
        return action_view(await self._desk.retry(mandate_of(call), call.body.message))

    async def discard(self, call: Call[MessageBody]) -> ActionView:
        return action_view(await self._desk.discard(mandate_of(call), call.body.message))


def _message(message: OutboxMessage) -> MessageRow:
    return like(MessageRow, message)
