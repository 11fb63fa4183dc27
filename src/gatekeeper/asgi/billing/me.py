"""`GET me`: what the customer has."""

from collections.abc import Sequence

import msgspec

from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.gate import Gatekeeper
from gatekeeper.types import Unlimited


class BalanceView(msgspec.Struct, frozen=True, kw_only=True):
    """An account of the customer's.

    Attributes:
        available: what may be spent now; null is without a bound.
        overage: what may be used beyond that and is billed later; null is without a bound.
        held: what running work has claimed.
        debt: what was refunded after it was spent, and has to be repaid first.
    """

    available: int | None
    overage: int | None
    held: int
    debt: int


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """What the customer has.

    Attributes:
        limits: null is without a bound.
        balances: by unit.
    """

    customer: str
    plans: list[str]
    features: list[str]
    limits: dict[str, int | None]
    balances: dict[str, BalanceView]


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operation."""

    async def me(call: Call) -> Me:
        entitlements = await gate.entitlements(call.customer)
        balances = await gate.balances(call.customer)
        return Me(
            customer=call.customer,
            plans=sorted(entitlements.plans),
            features=sorted(entitlements.features),
            limits={key: _number(value) for key, value in sorted(entitlements.limits.items())},
            balances={
                balance.unit: BalanceView(
                    available=balance.available,
                    overage=balance.overage,
                    held=balance.held,
                    debt=balance.debt,
                )
                for balance in balances
            },
        )

    return (Operation("GET", "/me", me, summary="What the customer has.", answer=Me),)


def _number(value: int | Unlimited) -> int | None:
    return None if isinstance(value, Unlimited) else value
