"""Reconciliations: started here, they run in the background."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from gatekeeper.asgi.billing.back_office.shared import (
    CHANGING,
    mandate_of,
    moment,
    operation,
)
from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.paging import Page, PageQuery, after_of, paged
from gatekeeper.asgi.billing.values import Instant, Reason
from gatekeeper.asgi.billing.views import like
from gatekeeper.errors import InvalidInputError, NotFoundError
from gatekeeper.gate import Gatekeeper
from gatekeeper.stripe.back_office import Reconciliation
from gatekeeper.stripe.reconciliation import RunOptions


class RunBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What a reconciliation is to do, and why.

    Attributes:
        dry_run: find the differences and write nothing.
        events: replay the events that never came.
        objects: compare subscriptions, invoices, refunds, disputes and checkouts.
        copies: compare the copies of all objects too.
        since: replay the events, and compare the copies, of what was made since then.
        allow_revocations: go on although many subscriptions would end.
    """

    reason: Reason
    dry_run: bool = True
    events: bool = True
    objects: bool = True
    copies: bool = False
    since: Instant | None = None
    allow_revocations: bool = False


class DriftRow(msgspec.Struct, frozen=True, kw_only=True):
    """A field that differs; null is nothing there.

    Attributes:
        revokes: whether to repair it takes access away.
    """

    kind: str
    id: str
    customer: str
    field: str
    ours: str | None
    theirs: str | None
    revokes: bool


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has found.

    Attributes:
        events: how many events Stripe listed that concern the app.
        missed: how many of them had never come.
        objects: how many objects were compared.
        strangers: how many subscriptions belong to nobody whom the app knows.
        differences: how many fields differed.
        drift: the first 200 of them.
        unrepaired: the objects whose repair failed, or that could not be read.
    """

    events: int
    missed: int
    objects: int
    strangers: int
    differences: int
    drift: list[DriftRow]
    unrepaired: list[str]


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """A reconciliation that somebody has started.

    Attributes:
        status: "waiting", "running", "finished", "failed", or "interrupted": its process has ended.
        looked: how much of what it has looked at so far.
        error: why it has failed, by a code.
    """

    id: str
    actor: str
    reason: str
    dry_run: bool
    status: str
    started_at: datetime
    updated_at: datetime
    looked: dict[str, int]
    report: RunReport | None
    error: str | None


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operations."""
    routes = _Runs(gate)
    return (
        operation(
            "POST",
            "/admin/reconciliations",
            routes.start,
            summary="Start a reconciliation; a dry run unless it is said otherwise.",
            body=RunBody,
            answer=RunView,
            status=202,
            errors=CHANGING,
        ),
        operation(
            "GET",
            "/admin/reconciliations",
            routes.list,
            summary="The reconciliations that people have started, the newest first.",
            query=PageQuery,
            answer=Page[RunView],
            errors=(InvalidInputError,),
        ),
        operation(
            "GET",
            "/admin/reconciliations/{run}",
            routes.get,
            summary="How far a reconciliation has come, and what it has found.",
            answer=RunView,
            errors=(NotFoundError,),
        ),
    )


class _Runs:
    def __init__(self, gate: Gatekeeper) -> None:
        self._desk = gate.back_office.reconciliations

    async def start(self, call: Call[RunBody]) -> RunView:
        body = call.body
        if not (body.events or body.objects or body.copies):
            raise InvalidInputError("There is nothing to do: events, objects or copies.")
        chosen: dict[str, Any] = {
            name: getattr(body, name) for name in RunOptions.__struct_fields__
        }
        chosen["since"] = moment(body.since, "since")
        return _view(await self._desk.start(mandate_of(call), RunOptions(**chosen)))

    async def list(self, call: Call[None, PageQuery]) -> Page[RunView]:
        after = after_of(call.query.cursor)
        found = await self._desk.list(limit=call.query.limit + 1, after=after)
        return paged(found, call.query, _view, lambda one: one.place)

    async def get(self, call: Call) -> RunView:
        return _view(await self._desk.get(call.path["run"]))


def _view(run: Reconciliation) -> RunView:
    found = run.report
    report = None
    if found is not None:
        report = like(
            RunReport,
            found,
            differences=run.differences,
            drift=[like(DriftRow, one) for one in found.drift],
            unrepaired=list(found.unrepaired),
        )
    return like(RunView, run, dry_run=run.options.dry_run, report=report)
