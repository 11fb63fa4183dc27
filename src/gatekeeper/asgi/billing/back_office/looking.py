"""Disputes, health, and the record of what was done."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from gatekeeper.asgi.billing.back_office.shared import (
    ActionView,
    action_view,
    fact,
    facts_of,
    moment,
    operation,
)
from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.paging import Page, PageQuery, after_of, paged
from gatekeeper.asgi.billing.values import Id, Instant
from gatekeeper.errors import InvalidInputError
from gatekeeper.gate import Gatekeeper
from gatekeeper.storage.actions import ActionQuery
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.survey import Backlog, Survey

DisputeStatus = Literal[
    "warning_needs_response",
    "warning_under_review",
    "warning_closed",
    "needs_response",
    "under_review",
    "won",
    "lost",
    "prevented",
]


class DisputesQuery(PageQuery, frozen=True, kw_only=True):
    """Which disputes."""

    customer: Id | None = None
    status: DisputeStatus | None = None


class DisputeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A dispute, as Stripe had it last.

    Attributes:
        evidence_due_by: until when evidence is taken, in RFC 3339.
    """

    id: str
    status: str | None
    reason: str | None
    customer: str | None
    payment: str | None
    amount_minor: int | None
    currency: str | None
    evidence_due_by: str | None
    created_at: datetime | None


class ActionsQuery(PageQuery, frozen=True, kw_only=True):
    """Which actions.

    Attributes:
        since: done from then on.
        until: done before then.
    """

    customer: Id | None = None
    actor: Id | None = None
    kind: Id | None = None
    since: Instant | None = None
    until: Instant | None = None


class CheckRow(msgspec.Struct, frozen=True, kw_only=True):
    """How well one part is, and why."""

    name: str
    status: str
    reason: str


class QueueRow(msgspec.Struct, frozen=True, kw_only=True):
    """How much waits, since when the oldest of it does, and how much is dead.

    Attributes:
        oldest_age_seconds: how long the oldest has waited.
    """

    waiting: int
    oldest_at: datetime | None
    oldest_age_seconds: float
    dead: int


class HealthView(msgspec.Struct, frozen=True, kw_only=True):
    """How everything is, and how much waits where.

    Attributes:
        queues: by name; empty where the database does not answer.
    """

    status: str
    checks: list[CheckRow]
    queues: dict[str, QueueRow]


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operations."""
    routes = _Looking(gate)
    return (
        operation(
            "GET",
            "/admin/disputes",
            routes.disputes,
            summary="Disputes, the newest first.",
            query=DisputesQuery,
            answer=Page[DisputeRow],
            errors=(InvalidInputError,),
        ),
        operation(
            "GET",
            "/admin/health",
            routes.health,
            summary="How everything is, with the age and depth of each queue.",
            answer=HealthView,
        ),
        operation(
            "GET",
            "/admin/actions",
            routes.actions,
            summary="What the back office has done, the newest first.",
            query=ActionsQuery,
            answer=Page[ActionView],
            errors=(InvalidInputError,),
        ),
    )


class _Looking:
    def __init__(self, gate: Gatekeeper) -> None:
        self._office = gate.back_office

    async def disputes(self, call: Call[None, DisputesQuery]) -> Page[DisputeRow]:
        query = call.query
        found = await self._office.disputes(
            customer=query.customer,
            statuses=() if query.status is None else (query.status,),
            limit=query.limit + 1,
            after=after_of(query.cursor),
        )
        return paged(found, query, _dispute, lambda one: one.place)

    async def health(self, call: Call) -> HealthView:
        health, survey = await self._office.health()
        return HealthView(
            status=health.status,
            checks=[
                CheckRow(name=one.name, status=one.status, reason=one.reason)
                for one in health.checks
            ],
            queues={} if survey is None else _queues(survey),
        )

    async def actions(self, call: Call[None, ActionsQuery]) -> Page[ActionView]:
        query = call.query
        wanted = ActionQuery(
            customer=query.customer,
            actor=query.actor,
            kind=query.kind,
            since=moment(query.since, "since"),
            until=moment(query.until, "until"),
        )
        after = after_of(query.cursor)
        found = await self._office.actions.list(wanted, limit=query.limit + 1, after=after)
        return paged(found, query, action_view, lambda one: one.place)


def _dispute(copy: MirrorObject) -> DisputeRow:
    facts = facts_of(copy.facts) or {}
    return DisputeRow(
        id=copy.id,
        status=copy.status,
        reason=fact(facts, "reason"),
        customer=copy.customer,
        payment=fact(facts, "payment_intent") or (copy.parent or "").partition("/")[2] or None,
        amount_minor=copy.amount_minor,
        currency=copy.currency,
        evidence_due_by=fact(facts, "evidence_details.due_by"),
        created_at=copy.created_at,
    )


def _queues(survey: Survey) -> dict[str, QueueRow]:
    def row(backlog: Backlog) -> QueueRow:
        return QueueRow(
            waiting=backlog.waiting,
            oldest_at=backlog.oldest_at,
            oldest_age_seconds=backlog.age_seconds(survey.at),
            dead=backlog.dead,
        )

    names = ("inbox", "outbox", "usage", "requests")
    return {name: row(getattr(survey, name)) for name in names}
