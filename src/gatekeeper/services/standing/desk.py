"""Reading how a customer stands, in one transaction."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from gatekeeper.entitlements import CustomerState, evaluate
from gatekeeper.ledger import Account
from gatekeeper.services import customers
from gatekeeper.services.ledger.readiness import brought_up, is_fresh
from gatekeeper.services.rules import Rules
from gatekeeper.services.standing.accounts import (
    Turn,
    by_unit,
    next_turn_of,
    running_window,
    unit_standing,
)
from gatekeeper.services.standing.subscriptions import main_plan, running_subscriptions
from gatekeeper.services.standing.values import Running, Standing
from gatekeeper.services.standing.warnings import Owed, warnings_of
from gatekeeper.storage.audit import UsageQuery
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.types import check_id

_A_MOMENT: Final = timedelta(microseconds=1)
"""So that what was captured this very instant counts: the end of a query is not part of it."""


class _Facts(msgspec.Struct):
    next_payment_attempt: datetime | None = None


class StandingDesk:
    """Tells how the customers of one gate stand: never from a cache, and without asking Stripe."""

    def __init__(self, store: Store, rules: Rules) -> None:
        self._store = store
        self._rules = rules

    async def of(self, customer: str) -> Standing:
        """How a customer stands now.

        Raises:
            InvalidIdError.
            CustomerNotFoundError: the customer was deleted.
        """
        check_id(customer, "customer")
        return await self._store.read(lambda tx: standing_of(tx, self._rules, customer))


def standing_of(tx: Transaction, rules: Rules, customer: str) -> Standing:
    """See `StandingDesk.of`. Nothing is written: what is due is shown as if it were there."""
    state = customers.state_of(tx, customer)
    now = max(tx.now(), state.created_at)
    entitled = evaluate(state, rules.default_terms, rules.policy, now, terms_of=rules.terms_of)
    stored = tx.ledger.accounts(customer)
    accounts = _brought_up(rules, state, stored, now)
    turns = {one.unit: running_window(one, state, rules.policy, now) for one in accounts}
    spent = _spent(tx, state, accounts, turns, now)
    units = tuple(
        unit_standing(one, turns[one.unit], state, spent.get(one.unit, 0), now) for one in accounts
    )
    subscriptions = running_subscriptions(state, rules.policy, now)
    plan, status = main_plan(entitled, state, rules)
    turn = next_turn_of(accounts, now)
    return Standing(
        customer=customer,
        now=now,
        version=state.version,
        plan=plan,
        status=status,
        plans=entitled.plans,
        features=entitled.features,
        limits=entitled.limits,
        units=units,
        subscriptions=subscriptions,
        warnings=warnings_of(
            subscriptions,
            units,
            {unit.unit: rules.policy_of(unit.unit) for unit in units},
            _owed(tx, subscriptions),
            is_frozen=_is_frozen(tx, rules, state, stored, now),
            now=now,
        ),
        changes_at=min((at for at in (entitled.valid_until, turn) if at is not None), default=None),
    )


def _brought_up(
    rules: Rules, state: CustomerState, stored: Sequence[Account], now: datetime
) -> list[Account]:
    """The account of each unit of the catalogue, brought up to date."""
    known = by_unit(stored)
    return [
        brought_up(state, rules, known.get(unit) or Account(state.customer, unit), now)
        for unit in sorted(rules.catalog.units)
    ]


def _is_frozen(
    tx: Transaction, rules: Rules, state: CustomerState, stored: Sequence[Account], now: datetime
) -> bool:
    """Whether the customer's credits are frozen. An account that is up to date knows it."""
    for account in stored:
        if account.fresh is not None and is_fresh(account, rules, state.version, now):
            return account.fresh.frozen is not None
    return any(one.lifted_at is None for one in tx.freezes.of(state.customer))


def _spent(
    tx: Transaction,
    state: CustomerState,
    accounts: Iterable[Account],
    turns: Mapping[str, Turn | None],
    now: datetime,
) -> dict[str, int]:
    """What was captured of each unit since its window began: one question for each beginning, and
    none where nothing was written since."""
    since: dict[datetime, list[str]] = {}
    for account in accounts:
        turn = turns[account.unit]
        start = state.created_at if turn is None else turn.start
        if account.last_entry_at is not None and account.last_entry_at >= start:
            since.setdefault(start, []).append(account.unit)
    spent: dict[str, int] = {}
    for start, units in since.items():
        until = max(now, start) + _A_MOMENT
        query = UsageQuery(customer=state.customer, since=start, until=until)
        totals = tx.audit.totals(query)
        spent |= {unit: totals[unit] for unit in units if unit in totals}
    return spent


def _owed(tx: Transaction, subscriptions: Iterable[Running]) -> dict[str, Owed]:
    """The oldest open invoice of each subscription that has not been paid for."""
    found: dict[str, Owed] = {}
    for one in subscriptions:
        if one.status not in ("past_due", "unpaid", "incomplete"):
            continue
        invoice = tx.subscriptions.oldest_unpaid(one.id)
        if invoice is not None:
            copy = tx.mirror.get("invoice", invoice.id)
            facts = _Facts() if copy is None else msgspec.json.decode(copy.facts, type=_Facts)
            found[one.id] = Owed(
                invoice=invoice.id,
                amount_minor=invoice.amount_due_minor,
                currency=invoice.currency,
                next_attempt_at=facts.next_payment_attempt,
            )
    return found
