"""The state machine: random commands on both ledgers, step by step."""

from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from gatekeeper.ledger import (
    Clawback,
    Expire,
    Extend,
    GrantCredits,
    GrantKind,
    Overrun,
    Release,
    Revoke,
    SetCap,
    UnitPolicy,
)
from gatekeeper.types import Every
from tests.ledger.both_ledgers import BothLedgers
from tests.ledger.schedule import WINDOW_SECONDS, Schedule, instant

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


class LedgerMachine(BothLedgers):
    """What may happen to an account, and what may be asked of it."""

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
        before = self.stored()
        changes = self._step(lambda naive: None)
        assert changes is not None
        assert not changes[0].entries
        assert not changes[0].grants
        assert self.stored() == before
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
        customer = self.stored().account.customer  # sources are unique among all
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
