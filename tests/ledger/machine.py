"""The state machine: random commands on the engine and on the naive ledger, step by step."""

import copy
import re
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gatekeeper.errors import GatekeeperError
from gatekeeper.ledger import (
    Account,
    AccountCommand,
    Allotment,
    Capture,
    Change,
    Clawback,
    Expire,
    Extend,
    GrantCredits,
    GrantKind,
    HoldCommand,
    Overrun,
    Release,
    Reserve,
    Revoke,
    SetCap,
    UnitPolicy,
    next_turn,
    refresh,
    running,
)
from gatekeeper.types import Every
from tests.ledger.builders import check_book
from tests.ledger.drivers import Driver, Step
from tests.ledger.naive import Due, NaiveLedger, Refused
from tests.ledger.schedule import WINDOW_SECONDS, Schedule, allotment_of, instant, second_of

# Mostly what succeeds: a machine that is refused all the time sees little.
AMOUNTS = st.sampled_from([3, 1, 2, 4, 5, 6, 8, 11, 15, 25, 0, -1])
TTLS = st.sampled_from([30, 25, 20, 15, 12, 8, 4, 1, 0, -1])
WAITS = st.sampled_from([0, 0, 0, 0, 1, 2, 3, 5, 8, 10, 21])
"""Seconds that pass before a command."""
OVERAGE = st.sampled_from([0, 4, None])
OVERRUNS: st.SearchStrategy[Overrun] = st.sampled_from(["refuse", "cap", "overage"])
SCOPES = st.sampled_from(["", "", "team", "team/ann", "team/bob", "other"])
CADENCES: st.SearchStrategy[Every] = st.sampled_from(["hour", "day"])
LIMITS = st.sampled_from([20, 9, 40, 0])
PLAN_AMOUNTS = st.sampled_from([3, 8, 20, None])


class LedgerMachine(RuleBasedStateMachine):
    """Whatever is asked in whatever order, both ledgers must agree, and the sums must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = self.make_driver()
        self.naive = NaiveLedger()
        self.billed: Counter[str] = Counter()
        self.told: Counter[str] = Counter()
        self.plan = Schedule()
        self.policy = UnitPolicy()
        self.now = 0
        self.names = 0

    @initialize(
        amount=PLAN_AMOUNTS,
        rollover=st.sampled_from([0, 5, None]),
        keep=st.booleans(),
        overage=OVERAGE,
        once=st.sampled_from([0, 5]),
        paid=st.integers(0, 6),
    )
    def choose_a_plan(
        self,
        amount: int | None,
        rollover: int | None,
        keep: bool,
        overage: int | None,
        once: int,
        paid: int,
    ) -> None:
        self.plan = Schedule(amount, rollover, keep, overage, once, set(range(paid)))

    @initialize(
        low=st.sampled_from([None, 4, 12, 0]),
        notice=st.sampled_from([None, 5]),
        late=st.sampled_from([0, 8, 4]),
    )
    def declare_a_policy(self, low: int | None, notice: int | None, late: int) -> None:
        self.naive.low, self.naive.notice, self.naive.late = low, notice, late
        self.policy = UnitPolicy(
            low,
            None if notice is None else timedelta(seconds=notice),
            timedelta(seconds=late),
        )

    def make_driver(self) -> Driver:
        """The way to the engine; another for each example."""
        raise NotImplementedError

    # -- the world moves --------------------------------------------------------------------------

    @rule(ahead=st.integers(0, 5))
    def windows_are_paid(self, ahead: int) -> None:
        window = self.now // WINDOW_SECONDS
        self.plan.paid |= set(range(window, window + ahead + 1))

    @rule(amount=PLAN_AMOUNTS, overage=OVERAGE)
    def the_plan_changes(self, amount: int | None, overage: int | None) -> None:
        self.plan.amount, self.plan.overage = amount, overage

    @rule(state=st.sampled_from(["active", "active", "suspended", "ended"]))
    def the_subscription_changes(self, state: str) -> None:
        self.plan.suspended, self.plan.ended = state == "suspended", state == "ended"

    @rule(every=CADENCES, limit=LIMITS | st.none())
    def the_plans_caps_change(self, every: Every, limit: int | None) -> None:
        self.plan.caps = dict(self.plan.caps)
        self.plan.caps.pop(every, None)
        if limit is not None:
            self.plan.caps[every] = limit

    @rule(away=st.sampled_from([60, 600, 4_000, 90_000]))
    def nobody_comes_for_a_while(self, away: int) -> None:
        self.now += away

    # -- commands ---------------------------------------------------------------------------------

    @rule(wait=WAITS)
    def refresh_twice(self, wait: int) -> None:
        self.now += wait
        self._step(lambda naive: None)
        before = self.driver.snapshot()
        changes = self._step(lambda naive: None)
        assert changes is not None
        assert not changes[0].entries
        assert not changes[0].grants
        assert self.driver.snapshot() == before
        self._check_that_time_alone_changes_nothing_until_then()

    @rule(wait=WAITS)
    def tell_of_expiry(self, wait: int) -> None:
        self.now += wait
        self._step(lambda naive: naive.tell_of_expiry(self.now), tells=True)

    @rule(
        amount=AMOUNTS,
        priority=st.integers(-1, 1),
        delay=st.sampled_from([None, None, None, -2, 0, 1, 5, 12]),
        ttl=st.none() | TTLS,
        source=st.integers(0, 3),
        wait=WAITS,
    )
    def grant(
        self,
        amount: int,
        priority: int,
        delay: int | None,
        ttl: int | None,
        source: int,
        wait: int,
    ) -> None:
        self.now += wait
        name = self._name("grant")
        begins = None if delay is None else self.now + delay
        expires = None if ttl is None else self.now + ttl
        customer = self.driver.snapshot().account.customer  # sources are unique among all
        command = GrantCredits(
            name,
            amount,
            GrantKind.TOP_UP,
            source_key=f"{customer}/{source}",
            priority=priority,
            expires_at=None if expires is None else instant(expires),
            effective_at=None if begins is None else instant(begins),
        )
        self._step(
            lambda naive: naive.grant(
                name,
                amount,
                self.now,
                priority=priority,
                begins=begins,
                expires=expires,
                source=str(source),
            ),
            command,
        )

    @rule(amount=AMOUNTS, ttl=TTLS, partial=st.booleans(), scope=SCOPES, wait=WAITS)
    def reserve(self, amount: int, ttl: int, partial: bool, scope: str, wait: int) -> None:
        self.now += wait
        self._reserve(amount, ttl, partial=partial, scope=scope)

    @rule(every=CADENCES, limit=LIMITS | st.none(), scope=SCOPES, used=st.sampled_from([0, 3]))
    def set_cap(self, every: Every, limit: int | None, scope: str, used: int) -> None:
        self._step(
            lambda naive: naive.set_cap(every, limit, scope, used, self.now),
            SetCap(every, limit, scope, used),
        )

    @rule(amounts=st.lists(st.integers(1, 9), min_size=1, max_size=3), spent=st.integers(0, 6))
    def hold_and_capture_later(self, amounts: list[int], spent: int) -> None:
        names = [self._reserve(amount, 40, partial=True) for amount in amounts]
        for name in names:
            self.now += 4
            if name in self.naive.holds:
                self._capture(name, spent, overrun="cap")

    @rule(
        amounts=st.lists(st.integers(1, 9), min_size=1, max_size=3),
        spent=st.integers(0, 3),
        seconds=st.sampled_from([10, 12, 20]),
    )
    def hold_over_the_end_of_a_window(self, amounts: list[int], spent: int, seconds: int) -> None:
        self.windows_are_paid(2)
        names = [self._reserve(amount, 40, partial=True) for amount in amounts]
        self.now += seconds
        for name in names:
            if name in self.naive.holds:
                self._capture(name, spent, overrun="cap")

    @rule(amount=st.integers(2, 12), parts=st.lists(st.integers(0, 5), min_size=1, max_size=3))
    def hold_and_capture_in_parts(self, amount: int, parts: list[int]) -> None:
        name = self._reserve(amount, 40, partial=True)
        for part in parts:
            self.now += 3
            if name in self.naive.holds:
                self._capture(name, part, overrun="overage", final=False)

    @precondition(lambda self: not self.naive.debt)
    @rule(amount=AMOUNTS, grant=st.integers(0, 9), wait=WAITS)
    def claw_back(self, amount: int, grant: int, wait: int) -> None:
        self.now += wait
        name = self._pick_grant(grant)
        self._step(
            lambda naive: naive.claw_back(amount, name, self.now), Clawback(amount, grant_id=name)
        )

    @rule(grant=st.integers(0, 9), wait=WAITS)
    def revoke(self, grant: int, wait: int) -> None:
        self.now += wait
        name = self._pick_grant(grant)
        self._step(lambda naive: naive.revoke(name, self.now), Revoke(name or "nothing"))

    @precondition(lambda self: self.naive.holds)
    @rule(
        hold=st.integers(0, 99),
        amount=AMOUNTS | st.none(),
        overrun=OVERRUNS,
        final=st.booleans(),
        wait=WAITS,
    )
    def capture(
        self, hold: int, amount: int | None, overrun: Overrun, final: bool, wait: int
    ) -> None:
        self.now += wait
        self._capture(self._pick(hold), amount, overrun=overrun, final=final)

    @precondition(lambda self: self.naive.holds)
    @rule(hold=st.integers(0, 99), wait=WAITS)
    def release(self, hold: int, wait: int) -> None:
        self.now += wait
        name = self._pick(hold)
        self._settle(lambda naive: naive.release(name, self.now), name, Release())

    @precondition(lambda self: self.naive.holds)
    @rule(hold=st.integers(0, 99), ttl=TTLS, more=st.integers(-1, 6), wait=WAITS)
    def extend(self, hold: int, ttl: int, more: int, wait: int) -> None:
        self.now += wait
        name = self._pick(hold)
        expires = self.now + ttl
        self._settle(
            lambda naive: naive.extend(name, self.now, expires=expires, more=more),
            name,
            Extend(instant(expires), more),
        )

    @precondition(lambda self: self.naive.holds)
    @rule(hold=st.integers(0, 99), wait=WAITS)
    def expire(self, hold: int, wait: int) -> None:
        self.now += wait
        name = self._pick(hold)
        self._settle(lambda naive: naive.expire(name, self.now), name, Expire())

    # -- what must hold after every step ----------------------------------------------------------

    @invariant()
    def the_sums_can_be_rebuilt_from_the_entries(self) -> None:
        stored = self.driver.snapshot()
        check_book(stored.account, stored.entries, list(stored.holds.values()))

    @invariant()
    def both_ledgers_agree(self) -> None:
        stored, naive = self.driver.snapshot(), self.naive
        account = stored.account
        held = sum(credit.hold is not None for credit in naive.credits)
        assert (account.posted, account.held, account.debt) == (
            len(naive.credits),
            held,
            naive.debt,
        )
        left: dict[str, tuple[int, int]] = {}
        for grant in account.grants:
            free, taken = left.get(_plain(grant.id), (0, 0))
            left[_plain(grant.id)] = (free + grant.remaining, taken + grant.held)
        assert {name: parts for name, parts in left.items() if any(parts)} == naive.left()
        assert {g.id: g.pending for g in account.grants if g.pending} == naive.pending()
        assert self.billed == naive.billed
        assert stored.holds.keys() == naive.holds.keys()
        for name, hold in stored.holds.items():
            other = naive.holds[name]
            assert (hold.status, hold.captured, hold.overrun, second_of(hold.expires_at)) == (
                other.status,
                other.captured,
                other.overrun,
                other.expires,
            )
            claims = [_plain(one.grant_id) for one in hold.allocations for _ in range(one.amount)]
            assert claims == naive.claims(name)

    @invariant()
    def both_tell_the_same(self) -> None:
        stored, naive = self.driver.snapshot(), self.naive
        assert self.told == naive.told + Counter({"cap.reached": naive.caps.told})
        untold = [shelf.expires for shelf in naive.untold(self.now) if shelf.expires is not None]
        if naive.notice is not None and untold:
            due = stored.account.notice_due_at
            assert due is not None
            assert second_of(due) <= min(untold) - naive.notice

    @invariant()
    def both_count_the_same(self) -> None:
        stored = self.driver.snapshot()
        now = instant(self.now)
        caps = [running(cap, now) for cap in (*stored.account.caps, *stored.caps.values())]
        found = {
            (cap.scope, cap.every, cap.source == "plan"): (cap.limit, cap.used) for cap in caps
        }
        assert found == self.naive.caps.as_they_stand(self.now)

    # -- helpers ----------------------------------------------------------------------------------

    def _name(self, kind: str) -> str:
        self.names += 1
        return f"{kind} {999 - self.names}"  # the order of names is not that of creation

    def _pick(self, number: int) -> str:
        """Some hold; an open one, if there is one, four times out of five."""
        names = list(self.naive.holds)
        opened = [name for name in names if self.naive.holds[name].status == "open"]
        chosen = opened if opened and number % 5 else names
        return chosen[number // 5 % len(chosen)]

    def _pick_grant(self, number: int) -> str | None:
        """Some grant that was given, under a name that both ledgers have for it."""
        names = [shelf.name for shelf in self.naive.shelves if not shelf.returned]
        return names[number % len(names)] if names else None

    def _reserve(self, amount: int, ttl: int, *, partial: bool, scope: str = "") -> str:
        name, expires = self._name("hold"), self.now + ttl
        self._step(
            lambda naive: naive.reserve(
                name, amount, self.now, expires=expires, partial=partial, scope=scope
            ),
            Reserve(name, amount, instant(expires), partial=partial, scope=scope),
        )
        return name

    def _capture(
        self, name: str, amount: int | None, *, overrun: Overrun, final: bool = True
    ) -> None:
        self._settle(
            lambda naive: naive.capture(name, amount, self.now, overrun=overrun, final=final),
            name,
            Capture(amount, overrun, final),
        )

    def _settle(
        self, naively: Callable[[NaiveLedger], None], hold_id: str, command: HoldCommand
    ) -> None:
        self._step(naively, hold_id=hold_id, hold_command=command)

    def _step(
        self,
        naively: Callable[[NaiveLedger], None],
        command: AccountCommand | None = None,
        *,
        hold_id: str | None = None,
        hold_command: HoldCommand | None = None,
        tells: bool = False,
    ) -> list[Change] | None:
        """Ask both; they must agree on the refusal too, and a refusal must change nothing."""
        before = self.driver.snapshot()
        due = self.plan.due(self._last(before.account), self.now)
        tried = copy.deepcopy(self.naive)
        refused = None
        try:
            unspent = tried.unspent()
            tried.refresh(
                due,
                self.plan.ended_series(),
                self.plan.suspended_series(),
                self.plan.caps,
                self.now,
            )
            tried.tell(unspent, self.now)
            unspent = tried.unspent()
            naively(tried)
            tried.tell(unspent, self.now)
        except Refused as refusal:
            refused = refusal.code
        else:
            self.naive = tried
        step = Step(
            instant(self.now),
            self._allotment(due),
            self.policy,
            command,
            hold_id,
            hold_command,
            tells,
        )
        answer = self._ask(step)
        if isinstance(answer, GatekeeperError):
            assert answer.code == refused
            assert self.driver.snapshot() == before
            return None
        assert refused is None
        for change in answer:
            self.told.update(signal.kind for signal in change.signals)
            for use in change.overage:
                self.billed[use.meter] += use.amount
        return answer

    def _allotment(self, due: list[Due]) -> Allotment:
        ended, suspended = self.plan.ended_series(), self.plan.suspended_series()
        return allotment_of(due, ended, suspended, self.plan.caps)

    def _check_that_time_alone_changes_nothing_until_then(self) -> None:
        account = self.driver.snapshot().account
        turn = next_turn(account, instant(self.now))
        later = instant(self.now + 500) if turn is None else turn - timedelta(microseconds=1)
        due = self.plan.due(self._last(account), self.now)
        change = refresh(account, self._allotment(due), later, policy=self.policy)
        assert not change.entries
        assert change.account.grants == account.grants

    def _last(self, account: Account) -> int:
        last = account.last_entry_at
        return -1 if last is None else second_of(last)

    def _ask(self, step: Step) -> list[Change] | GatekeeperError:
        try:
            return self.driver.take(step)
        except GatekeeperError as error:
            return error


def _plain(grant_id: str) -> str:
    """The name of a grant, without the number of one that holds what came back."""
    return re.sub(r"^(late|.*/rollover)/\d+$", r"\1/*", grant_id)
