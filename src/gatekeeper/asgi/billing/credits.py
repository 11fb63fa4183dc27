"""Credits from the browser: asking whether something would be allowed, and using what the host
lets browsers use."""

from collections.abc import Sequence

import msgspec

from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.values import Id, Quantity
from gatekeeper.errors import (
    CreditsFrozenError,
    CreditsRequiredError,
    CustomerNotFoundError,
    DebtOutstandingError,
    ForbiddenError,
    HoldEndedError,
    InvalidAmountError,
    UnknownNameError,
)
from gatekeeper.gate import Gatekeeper


class CreditsBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What is to be used.

    Attributes:
        name: a key of the cost table, or a unit.
        quantity: how many of it, or how much of the unit in its smallest steps.
    """

    name: Id
    quantity: Quantity = 1


class CheckedView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether it would be allowed now. Nothing is held: somebody else may use it meanwhile.

    Attributes:
        code: why not; the code of the problem that using it would be answered with.
        unit: what it costs.
        amount: how much of that.
        available: what can be spent now; null is without a bound.
    """

    allowed: bool
    code: str | None
    unit: str
    amount: int
    available: int | None


class ConsumedView(msgspec.Struct, frozen=True, kw_only=True):
    """What was used.

    Attributes:
        amount: of the unit.
        available: what can be spent now; null is without a bound.
    """

    unit: str
    amount: int
    available: int | None


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operations.

    Raises:
        UnknownNameError: the catalogue does not have what browsers are to use.
    """
    for name in options.consumable:
        gate.catalog.cost_of(name)
    routes = _Credits(gate, options)
    return (
        Operation(
            "POST",
            "/credits/check",
            routes.check,
            summary="Whether something would be allowed now; nothing is held.",
            body=CreditsBody,
            answer=CheckedView,
            errors=(UnknownNameError, InvalidAmountError, CustomerNotFoundError),
        ),
        Operation(
            "POST",
            "/credits/consume",
            routes.consume,
            summary="Use credits at once, for what the app lets browsers use.",
            body=CreditsBody,
            answer=ConsumedView,
            errors=(
                UnknownNameError,
                InvalidAmountError,
                ForbiddenError,
                CreditsRequiredError,
                CreditsFrozenError,
                DebtOutstandingError,
                HoldEndedError,
                CustomerNotFoundError,
            ),
        ),
    )


class _Credits:
    def __init__(self, gate: Gatekeeper, options: BillingOptions) -> None:
        self._gate = gate
        self._consumable = frozenset(options.consumable)

    async def check(self, call: Call[CreditsBody]) -> CheckedView:
        body = call.body
        found = await self._gate.credits.check(call.customer, body.name, body.quantity)
        return CheckedView(**msgspec.structs.asdict(found))

    async def consume(self, call: Call[CreditsBody]) -> ConsumedView:
        body = call.body
        self._gate.catalog.cost_of(body.name)  # an unknown name is a 400, whoever asks
        if body.name not in self._consumable:
            raise ForbiddenError(f"{body.name!r} is not used from the browser.")
        actor = None if call.identity is None else call.identity.actor
        hold = await self._gate.credits.consume(
            call.customer,
            body.name,
            body.quantity,
            idempotency_key=call.idempotency_key,
            actor=actor,
        )
        balance = await self._gate.credits.balance(call.customer, hold.unit)
        return ConsumedView(unit=hold.unit, amount=hold.captured, available=balance.available)
