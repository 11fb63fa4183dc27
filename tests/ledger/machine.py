"""The state machine: random commands on the engine and on the naive ledger, step by step."""

import copy
from collections import Counter
from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gatekeeper.errors import GatekeeperError
from gatekeeper.ledger import (
    AccountCommand,
    Capture,
    Change,
    Clawback,
    Expire,
    Extend,
    GrantCredits,
    GrantKind,
    HoldCommand,
    Release,
    Reserve,
)
from tests.ledger.builders import check_book
from tests.ledger.drivers import Driver, Step
from tests.ledger.naive import NaiveLedger, Refused
from tests.ledger.schedule import WINDOW_SECONDS, Schedule, allotment_of, instant, second_of

# Mostly what succeeds: a machine that is refused all the time sees little.
AMOUNTS = st.sampled_from([3, 1, 2, 4, 5, 6, 8, 11, 15, 25, 0, -1])
TTLS = st.sampled_from([30, 25, 20, 15, 12, 8, 4, 1, 0, -1])
WAITS = st.sampled_from([0, 0, 0, 0, 1, 2, 3, 5, 8, 10, 21])
"""Seconds that pass before a command."""
OVERAGE = st.sampled_from([0, 4, None])
PLAN_AMOUNTS = st.sampled_from([3, 8, 20, None])


class LedgerMachine(RuleBasedStateMachine):
    """Whatever is asked in whatever order, both ledgers must agree, and the sums must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = self.make_driver()
        self.naive = NaiveLedger()
        self.billed: Counter[str] = Counter()
        self.plan = Schedule()
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

    @rule(
        amount=AMOUNTS,
        priority=st.integers(-1, 1),
        ttl=st.none() | TTLS,
        source=st.integers(0, 3),
        wait=WAITS,
    )
    def grant(self, amount: int, priority: int, ttl: int | None, source: int, wait: int) -> None:
        self.now += wait
        name = self._name("grant")
        expires = None if ttl is None else self.now + ttl
        customer = self.driver.snapshot().account.customer  # sources are unique among all
        command = GrantCredits(
            name,
            amount,
            GrantKind.TOP_UP,
            source_key=f"{customer}/{source}",
            priority=priority,
            expires_at=None if expires is None else instant(expires),
        )
        self._step(
            lambda naive: naive.grant(
                name, amount, self.now, priority=priority, expires=expires, source=str(source)
            ),
            command,
        )

    @rule(amount=AMOUNTS, ttl=TTLS, partial=st.booleans(), wait=WAITS)
    def reserve(self, amount: int, ttl: int, partial: bool, wait: int) -> None:
        self.now += wait
        self._reserve(amount, ttl, partial=partial)

    @rule(amounts=st.lists(st.integers(1, 9), min_size=1, max_size=3), spent=st.integers(0, 6))
    def hold_and_capture_later(self, amounts: list[int], spent: int) -> None:
        names = [self._reserve(amount, 40, partial=True) for amount in amounts]
        for name in names:
            self.now += 4
            if name in self.naive.holds:
                self._capture(name, spent, cap=True)

    @precondition(lambda self: not self.naive.debt)
    @rule(amount=AMOUNTS, grant=st.integers(0, 9), wait=WAITS)
    def claw_back(self, amount: int, grant: int, wait: int) -> None:
        self.now += wait
        shelves = self.naive.shelves
        name = shelves[grant % len(shelves)].name if shelves else None
        self._step(
            lambda naive: naive.claw_back(amount, name, self.now), Clawback(amount, grant_id=name)
        )

    @precondition(lambda self: self.naive.holds)
    @rule(hold=st.integers(0, 99), amount=AMOUNTS | st.none(), cap=st.booleans(), wait=WAITS)
    def capture(self, hold: int, amount: int | None, cap: bool, wait: int) -> None:
        self.now += wait
        self._capture(self._pick(hold), amount, cap=cap)

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
        left = {g.id: (g.remaining, g.held) for g in account.grants if g.remaining or g.held}
        assert left == naive.left()
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
            claimed = [one.grant_id for one in hold.allocations for _ in range(one.amount)]
            assert claimed == naive.claims(name)

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

    def _reserve(self, amount: int, ttl: int, *, partial: bool) -> str:
        name, expires = self._name("hold"), self.now + ttl
        self._step(
            lambda naive: naive.reserve(name, amount, self.now, expires=expires, partial=partial),
            Reserve(name, amount, instant(expires), partial=partial),
        )
        return name

    def _capture(self, name: str, amount: int | None, *, cap: bool) -> None:
        self._settle(
            lambda naive: naive.capture(name, amount, self.now, cap=cap),
            name,
            Capture(amount, "cap" if cap else "refuse"),
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
    ) -> list[Change] | None:
        """Ask both; they must agree on the refusal too, and a refusal must change nothing."""
        before = self.driver.snapshot()
        last = before.account.last_entry_at
        due = self.plan.due(-1 if last is None else second_of(last), self.now)
        ended, suspended = self.plan.ended_series(), self.plan.suspended_series()
        tried = copy.deepcopy(self.naive)
        refused = None
        try:
            tried.refresh(due, ended, suspended, self.now)
            naively(tried)
        except Refused as refusal:
            refused = refusal.code
        else:
            self.naive = tried
        allotment = allotment_of(due, ended, suspended)
        step = Step(instant(self.now), allotment, command, hold_id, hold_command)
        answer = self._ask(step)
        if isinstance(answer, GatekeeperError):
            assert answer.code == refused
            assert self.driver.snapshot() == before
            return None
        assert refused is None
        for change in answer:
            for use in change.overage:
                self.billed[use.meter] += use.amount
        return answer

    def _ask(self, step: Step) -> list[Change] | GatekeeperError:
        try:
            return self.driver.take(step)
        except GatekeeperError as error:
            return error
