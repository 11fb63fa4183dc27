"""Customers: looking them up, and what is done for them and to them."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from gatekeeper.asgi.billing.back_office.pictures import CustomerPicture, CustomerRow, view_of
from gatekeeper.asgi.billing.back_office.pictures import row as customer_row
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
from gatekeeper.asgi.billing.paging import Page, PageQuery, paged, place_of
from gatekeeper.asgi.billing.values import AmountMinor, Id, Instant, Line, Quantity, Reason
from gatekeeper.errors import (
    CustomerActiveError,
    CustomerNotFoundError,
    InvalidInputError,
    UnknownNameError,
)
from gatekeeper.gate import Gatekeeper
from gatekeeper.storage.records import CustomerSearch
from gatekeeper.types import UNLIMITED

OverrideKind = Literal["feature", "limit", "plan"]


class CustomerPlace(NamedTuple):
    """Where a customer stands in their list."""

    id: Id


class CustomersQuery(PageQuery, frozen=True, kw_only=True):
    """Which customers.

    Attributes:
        email: the whole address; one that is kept in small letters is found in whatever case.
        name: how the name begins, in whatever case.
        deleted: also those who were deleted.
    """

    email: Line | None = None
    name: Line | None = None
    deleted: bool = False


class GrantBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What to give, and why."""

    unit: Id
    amount: Quantity
    reason: Reason
    expires_at: Instant | None = None
    kind: Literal["manual", "promotional"] = "manual"


class RevokeBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Of which unit the grant is, and why it ends."""

    unit: Id
    reason: Reason


class FreezeBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What the freeze is for, such as "case/17" (the same freezes once), and why."""

    key: Id
    reason: Reason


class UnfreezeBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Which freeze to lift, or all, and why."""

    reason: Reason
    key: Id | None = None


class OverrideBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """An exception for a customer, and why.

    Attributes:
        value: whether a feature is given; a limit's number, null for no bound; true for a plan.
    """

    kind: OverrideKind
    key: Id
    value: bool | AmountMinor | None
    reason: Reason
    expires_at: Instant | None = None


class OverrideEndBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Which exception ends, and why."""

    kind: OverrideKind
    key: Id
    reason: Reason


class EraseBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Why somebody is erased; the reason stays, so it must name nobody.

    Attributes:
        force: although something of theirs is not finished.
    """

    reason: Reason
    force: bool = False


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operations."""
    routes = _Customers(gate)
    one = "/admin/customers/{customer}"
    changing = (CustomerNotFoundError, *CHANGING)
    return (
        operation(
            "GET",
            "/admin/customers",
            routes.find,
            summary="Look for customers.",
            query=CustomersQuery,
            answer=Page[CustomerRow],
            errors=(InvalidInputError,),
        ),
        operation(
            "GET",
            one,
            routes.picture,
            summary="All that there is of a customer.",
            answer=CustomerPicture,
            errors=(CustomerNotFoundError,),
        ),
        operation(
            "POST",
            f"{one}/grants",
            routes.grant,
            summary="Give a customer credits.",
            body=GrantBody,
            answer=ActionView,
            status=201,
            errors=(*changing, UnknownNameError),
        ),
        operation(
            "POST",
            f"{one}/grants/{{grant}}/revoke",
            routes.revoke,
            summary="End a grant now.",
            body=RevokeBody,
            answer=ActionView,
            errors=(*changing, UnknownNameError),
        ),
        operation(
            "POST",
            f"{one}/freezes",
            routes.freeze,
            summary="Freeze a customer's credits.",
            body=FreezeBody,
            answer=ActionView,
            status=201,
            errors=changing,
        ),
        operation(
            "POST",
            f"{one}/unfreeze",
            routes.unfreeze,
            summary="Lift a customer's freezes, or one.",
            body=UnfreezeBody,
            answer=ActionView,
            errors=changing,
        ),
        operation(
            "POST",
            f"{one}/overrides",
            routes.override,
            summary="Make an exception for a customer.",
            body=OverrideBody,
            answer=ActionView,
            status=201,
            errors=(*changing, UnknownNameError),
        ),
        operation(
            "POST",
            f"{one}/overrides/end",
            routes.end_override,
            summary="End an exception.",
            body=OverrideEndBody,
            answer=ActionView,
            errors=changing,
        ),
        operation(
            "POST",
            f"{one}/erase",
            routes.erase,
            summary="Erase a customer for good.",
            body=EraseBody,
            answer=ActionView,
            errors=(*changing, CustomerActiveError),
        ),
    )


class _Customers:
    def __init__(self, gate: Gatekeeper) -> None:
        self._desk = gate.back_office.customers

    async def find(self, call: Call[None, CustomersQuery]) -> Page[CustomerRow]:
        query = call.query
        search = CustomerSearch(email=query.email, name=query.name, deleted=query.deleted)
        place = place_of(query.cursor, CustomerPlace)
        after = None if place is None else place.id
        found = await self._desk.find(search, limit=query.limit + 1, after=after)
        return paged(found, query, customer_row, lambda one: (one.id,))

    async def picture(self, call: Call) -> CustomerPicture:
        return view_of(await self._desk.picture(call.path["customer"]))

    async def grant(self, call: Call[GrantBody]) -> ActionView:
        body = call.body
        return action_view(
            await self._desk.grant(
                mandate_of(call),
                call.path["customer"],
                body.unit,
                body.amount,
                expires_at=moment(body.expires_at, "expires_at"),
                kind=body.kind,
            )
        )

    async def revoke(self, call: Call[RevokeBody]) -> ActionView:
        customer, grant = call.path["customer"], call.path["grant"]
        return action_view(
            await self._desk.revoke(mandate_of(call), customer, call.body.unit, grant)
        )

    async def freeze(self, call: Call[FreezeBody]) -> ActionView:
        customer = call.path["customer"]
        return action_view(await self._desk.freeze(mandate_of(call), customer, call.body.key))

    async def unfreeze(self, call: Call[UnfreezeBody]) -> ActionView:
        customer = call.path["customer"]
        return action_view(await self._desk.unfreeze(mandate_of(call), customer, call.body.key))

    async def override(self, call: Call[OverrideBody]) -> ActionView:
        body = call.body
        return action_view(
            await self._desk.override(
                mandate_of(call),
                call.path["customer"],
                body.kind,
                body.key,
                UNLIMITED if body.value is None else body.value,
                expires_at=moment(body.expires_at, "expires_at"),
            )
        )

    async def end_override(self, call: Call[OverrideEndBody]) -> ActionView:
        body, customer = call.body, call.path["customer"]
        return action_view(
            await self._desk.remove_override(mandate_of(call), customer, body.kind, body.key)
        )

    async def erase(self, call: Call[EraseBody]) -> ActionView:
        customer = call.path["customer"]
        return action_view(
            await self._desk.erase(mandate_of(call), customer, force=call.body.force)
        )
