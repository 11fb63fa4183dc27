"""Would this be allowed? Decided by the engine on the account as it stands; nothing is held."""

from collections.abc import Mapping

import msgspec

from gatekeeper.catalog import Measures
from gatekeeper.errors import DeniedError
from gatekeeper.ledger import Expire, Reserve, balance_of, paths_of
from gatekeeper.services import customers
from gatekeeper.services.ledger.desk import Desk
from gatekeeper.services.ledger.overdue import SWEEP_BATCH
from gatekeeper.services.ledger.readiness import brought_up
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Transaction
from gatekeeper.types import check_amount, check_id


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """Whether something may be used now.

    Attributes:
        allowed: whether a hold of it would be made.
        code: why not, as the refusal's code says; None if it is allowed.
        unit: what it costs.
        amount: how much of that, in the unit's steps, at the customer's own rate.
        available: what can be spent without overage; None is without bound.
    """

    allowed: bool
    code: str | None
    unit: str
    amount: int
    available: int | None


def check(
    tx: Transaction, rules: Rules, customer: str, name: str, quantity: Measures = 1
) -> Checked:
    """Whether `quantity` of a unit or of a cost would be allowed at this moment.

    Another request may take it meanwhile: only a hold is sure.

    Raises:
        UnknownNameError: the catalogue has no such unit, cost or measure.
        InvalidAmountError, InvalidIdError.
        CustomerNotFoundError: the customer was deleted.
    """
    cost = rules.catalog.cost_of(name)
    if not isinstance(quantity, Mapping):
        check_amount(quantity, "The quantity")
    listed = cost.resolve(quantity)
    state = customers.state_of(tx, check_id(customer, "customer"))
    now = max(tx.now(), state.created_at)
    frozen = next((one.reason for one in tx.freezes.of(customer) if one.lifted_at is None), None)
    account = tx.ledger.account(customer, cost.unit_key, lock=False)
    desk = Desk(
        brought_up(state, rules, account, now, frozen=frozen), now, rules.policy_of(cost.unit_key)
    )
    _without_overdue(tx, desk)
    fresh = desk.account.fresh
    priced = listed if fresh is None else cost.resolve(quantity, fresh.formulas)
    available = balance_of(desk.account, desk.now).available
    code: str | None = None
    try:
        desk.apply(
            Reserve(
                hold_id="check",
                amount=priced.amount,
                expires_at=desk.now + rules.hold_ttl,
                cost_numerator=priced.numerator,
                cost_denominator=priced.denominator,
                formula=priced.formula,
                feature=priced.key,
            )
        )
    except DeniedError as error:
        code = error.code
    return Checked(
        allowed=code is None,
        code=code,
        unit=cost.unit_key,
        amount=priced.amount,
        available=available,
    )


def _without_overdue(tx: Transaction, desk: Desk) -> None:
    """End, on the desk alone, the holds whose time is over."""
    if not desk.account.held:
        return
    customer, unit = desk.key
    overdue = tx.ledger.expired_holds(desk.now, SWEEP_BATCH, customer=customer, unit=unit)
    scopes = {path for hold in overdue for path in paths_of(hold.scope)}
    if scopes:
        desk.add_scoped(tx.ledger.caps(customer, unit, scopes))
    for hold in overdue:
        desk.settle(hold, Expire())
