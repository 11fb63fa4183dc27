"""The accounts of a customer as people see them: what runs, what renews, what expires. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gatekeeper.entitlements import AccessPolicy, Item, access_of
from gatekeeper.entitlements.state import CustomerState
from gatekeeper.ledger import Account, balance_of
from gatekeeper.services.standing.values import Expiring, UnitStanding

_OVERAGE: Final = ":overage"
MAX_EXPIRING: Final = 20
"""How many dates of one unit are listed at most."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The running window of what is granted of a unit in windows."""

    start: datetime
    end: datetime
    renews: bool


def running_window(
    account: Account, state: CustomerState, policy: AccessPolicy, now: datetime
) -> Turn | None:
    """The window of an account that ends first; None if nothing is granted in windows.

    The target of a window is named "ITEM:SERIES@START", or "default:..." or "gift:PLAN:..."; see
    `entitlements.allotments`. What is left of a default plan's window runs on beside a plan that
    has taken its place, and no other follows it.
    """
    items = {item.id: item for item in state.items}
    free: list[Turn] = []
    found: list[Turn] = []
    for key, received in account.received.items():
        start, end, series = received.start, received.end, received.series
        if start is None or end is None or series is None or series.endswith(_OVERAGE):
            continue
        if not start <= now < end:
            continue
        source, _, rest = key.partition(":")
        if source == "default":
            free.append(Turn(start, end, True))
        elif source == "gift":
            found.append(Turn(start, end, _is_given(rest.partition(":")[0], state, end)))
        else:
            item = items.get(source)
            found.append(Turn(start, end, item is not None and _renews(item, end, policy, now)))
    return min(found or free, key=lambda turn: (not turn.renews, turn.end), default=None)


def _renews(item: Item, end: datetime, policy: AccessPolicy, now: datetime) -> bool:
    access = access_of(item, policy, now)
    return access.allowed and (access.until is None or access.until > end)


def _is_given(plan: str, state: CustomerState, end: datetime) -> bool:
    """Whether a plan is a gift beyond an instant."""
    return any(
        (one.kind, one.key) == ("plan", plan) and (one.expires_at is None or one.expires_at > end)
        for one in state.overrides
    )


def unit_standing(
    account: Account,
    turn: Turn | None,
    state: CustomerState,
    spent: int,
    now: datetime,
) -> UnitStanding:
    """An account that is up to date, as it is shown."""
    balance = balance_of(account, now)
    renews_at = turn.end if turn is not None and turn.renews else None
    return UnitStanding(
        unit=account.unit,
        available=balance.available,
        overage=balance.overage,
        held=balance.held,
        debt=balance.debt,
        spent=spent,
        spent_since=state.created_at if turn is None else turn.start,
        renews_at=renews_at,
        expiring=expiring(account, renews_at, now),
    )


def expiring(account: Account, renews_at: datetime | None, now: datetime) -> tuple[Expiring, ...]:
    """What of an account has a date and is not used up. Of a window that will be followed by
    another, nothing: that one's end is a renewal."""
    amounts: dict[datetime, int] = {}
    for grant in account.grants:
        if grant.expires_at is None or grant.expires_at <= now or grant.mints:
            continue
        if renews_at is not None and grant.window_end is not None:
            continue
        if grant.remaining:
            amounts[grant.expires_at] = amounts.get(grant.expires_at, 0) + grant.remaining
    dates = sorted(amounts)[:MAX_EXPIRING]
    return tuple(Expiring(amount=amounts[at], at=at) for at in dates)


def next_turn_of(accounts: Iterable[Account], now: datetime) -> datetime | None:
    """When the first of these accounts changes by the passing of time alone."""
    instants: list[datetime] = []
    for account in accounts:
        fresh = account.fresh
        if fresh is not None and fresh.until is not None:
            instants.append(fresh.until)
        if account.holds_due_at is not None:
            instants.append(account.holds_due_at)
        for grant in account.grants:
            instants += [at for at in (grant.expires_at, grant.starts_at) if at is not None]
        instants += [one.end for one in account.received.values() if one.end is not None]
    return min((at for at in instants if at > now), default=None)


def by_unit(accounts: Sequence[Account]) -> dict[str, Account]:
    """Accounts by their unit."""
    return {account.unit: account for account in accounts}
