"""The books of an account: what disagrees is named, and what the entries say can be had again."""

import random
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from gatekeeper.errors import GatekeeperError
from gatekeeper.ledger import (
    Account,
    AccountCommand,
    Allocation,
    Allotment,
    Capture,
    Change,
    Clawback,
    Entry,
    EntryKind,
    Expire,
    Fresh,
    Grant,
    GrantCredits,
    GrantKind,
    Hold,
    HoldCommand,
    HoldStatus,
    LiveGrant,
    Received,
    Release,
    Reserve,
    Revoke,
    Target,
    UnitPolicy,
    apply,
    refresh,
    settle,
)
from gatekeeper.ledger.books import (
    MAX_FAULTY_HOLDS,
    Books,
    Breach,
    HoldFold,
    OpenHolds,
    Sums,
    find_breaches,
    fold,
)
from gatekeeper.ledger.rebuild import WINDOW_KINDS, find_differences, rebuild

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class History:
    """One account, and every row that was ever written of it."""

    def __init__(self) -> None:
        self.account = Account("ada", "credits")
        self.entries: list[Entry] = []
        self.grants: dict[str, Grant] = {}
        self.holds: dict[str, Hold] = {}

    def take(self, change: Change) -> None:
        self.account = change.account
        self.entries += change.entries
        self.grants |= {grant.id: grant for grant in change.grants}
        if change.hold is not None:
            self.holds[change.hold.id] = change.hold

    def grant(self, grant_id: str, amount: int, **said: object) -> None:
        command = replace(GrantCredits(grant_id, amount, GrantKind.MANUAL), **said)
        self.take(apply(self.account, command, NOW))

    def reserve(self, hold_id: str, amount: int) -> None:
        self.take(apply(self.account, Reserve(hold_id, amount, NOW + HOUR), NOW))

    def settle(self, hold_id: str, command: HoldCommand) -> None:
        self.take(settle(self.account, self.holds[hold_id], command, NOW))

    def refresh(self, allotment: Allotment, at: datetime = NOW) -> None:
        self.take(refresh(self.account, allotment, at))

    def books(self, **changed: object) -> Books:
        """What a store would read."""
        sums = fold(self.entries)
        total = Sums()
        for one in sums.values():
            total = total.plus(one)
        packed = {live.id for live in self.account.grants}
        packed |= {grant.id for grant in self.grants.values() if grant.effective_at}
        kept = {
            grant_id: of
            for grant_id, of in sums.items()
            if of.posted or of.held or grant_id in packed
        }
        books = Books(
            "ada",
            "credits",
            self.account,
            entries=total,
            grants=kept,
            holds=held(hold for hold in self.holds.values() if hold.status is HoldStatus.OPEN),
            records=self.grants,
        )
        return replace(books, **changed)


def held(holds: Iterable[Hold]) -> OpenHolds:
    folded = HoldFold()
    for hold in holds:
        folded.add(hold.id, hold.remaining, hold.allocations, hold.expires_at)
    return folded.result()


@pytest.fixture
def history() -> History:
    """100 given, of which 17 were used and 15 are held; 3 given and gone; 50 that begin later."""
    made = History()
    made.grant("gone", 3, priority=-1)
    made.grant("main", 100)
    made.grant("later", 50, effective_at=NOW + DAY)
    made.reserve("one", 15)
    made.settle("one", Capture())
    made.reserve("two", 20)
    made.settle("two", Capture(5, final=False))
    made.reserve("three", 4)
    made.settle("three", Release())
    return made


def named(books: Books) -> dict[str, tuple[object, object]]:
    return {one.what: (one.expected, one.found) for one in find_breaches(books)}


def mended(books: Books) -> Account:
    derived = rebuild(books)
    assert derived.obstacles == ()
    assert derived.account is not None
    return derived.account


# -- books that agree -----------------------------------------------------------------------------


def test_what_the_engine_has_done_agrees_with_itself(history: History) -> None:
    assert find_breaches(history.books()) == ()
    assert mended(history.books()) is not None
    assert mended(history.books()) == history.account
    assert find_differences(history.books(), history.account) == ()


def test_nothing_agrees_with_nothing() -> None:
    books = Books("ada", "credits")
    assert books.is_lost
    assert find_breaches(books) == ()
    assert find_differences(books, mended(books)) == ()


def test_sums_do_not_depend_on_how_they_are_split(history: History) -> None:
    whole = fold(history.entries)
    first, second = fold(history.entries[:4]), fold(history.entries[4:])
    keys = {*first, *second}
    assert {key: first.get(key, Sums()).plus(second.get(key, Sums())) for key in keys} == whole
    assert Sums().plus(Sums()) == Sums()
    assert Sums().is_whole


def test_a_breach_names_the_account_what_it_is_what_should_be_and_what_is(
    history: History,
) -> None:
    wrong = replace(history.account, debt=4)
    assert find_breaches(history.books(account=wrong)) == (Breach("ada", "credits", "debt", 0, 4),)


# -- accounts that are wrong, and are mended ------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"posted": 84}, {"posted", "left and held in grants"}),
        ({"held": 16}, {"held"}),
        ({"debt": 1}, {"debt"}),
        ({"version": 3}, {"version"}),
        ({"last_entry_at": NOW - HOUR}, {"last_entry_at"}),
        ({"last_entry_at": None}, {"last_entry_at"}),
        (
            {"posted": 10, "held": 15},
            {"posted", "left and held in grants", "posted less held"},
        ),
    ],
)
def test_a_wrong_sum_is_named_and_mended(
    history: History, fields: dict[str, object], what: set[str]
) -> None:
    books = history.books(account=replace(history.account, **fields))
    assert set(named(books)) == what
    after = mended(books)
    assert replace(after, revision=history.account.revision, holds_due_at=None) == replace(
        history.account, holds_due_at=None
    )
    assert after.revision == history.account.revision + 1
    assert after.holds_due_at == NOW + HOUR
    told = {one.what for one in find_differences(books, after)}
    assert told == {one for one in fields if getattr(history.account, one) != fields[one]}
    assert find_breaches(replace(books, account=after)) == ()


@pytest.mark.parametrize("due_at", [None, NOW + HOUR + timedelta(microseconds=1)])
def test_a_hold_that_would_be_overlooked_is_named_and_mended(
    history: History, due_at: datetime | None
) -> None:
    """Two open holds end in an hour; nobody would look before `due_at`."""
    account = replace(history.account, fresh=Fresh(1, "rules", None), holds_due_at=due_at)
    books = history.books(account=account)
    due, shown = (NOW + HOUR).isoformat(), "nothing" if due_at is None else due_at.isoformat()
    assert named(books) == {"holds_due_at": (f"{due} or earlier", shown)}
    after = mended(books)
    assert (after.holds_due_at, after.fresh) == (NOW + HOUR, None)
    assert find_differences(books, after) == (Breach("ada", "credits", "holds_due_at", due, shown),)
    assert find_breaches(replace(books, account=after)) == ()


@pytest.mark.parametrize("due_at", [NOW, NOW + HOUR])
def test_looking_for_overdue_holds_too_early_is_right(history: History, due_at: datetime) -> None:
    account = replace(history.account, fresh=Fresh(1, "rules", None), holds_due_at=due_at)
    books = history.books(account=account)
    assert find_breaches(books) == ()
    assert mended(books) == account


def test_an_account_that_is_ahead_of_its_entries_in_time_is_right(history: History) -> None:
    books = history.books(account=replace(history.account, last_entry_at=NOW + HOUR))
    assert find_breaches(books) == ()
    assert mended(books).last_entry_at == NOW + HOUR


def test_a_mended_account_is_brought_up_to_date_anew(history: History) -> None:
    wrong = replace(history.account, debt=1, fresh=Fresh(1, "rules"), alerts=("low",))
    after = mended(history.books(account=wrong))
    assert after.fresh is None
    assert after.alerts == ("low",)


def with_grant(account: Account, grant_id: str, **fields: object) -> Account:
    grants = (replace(g, **fields) if g.id == grant_id else g for g in account.grants)
    return replace(account, grants=tuple(grants))


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"remaining": 74}, {"left of grant main", "left and held in grants"}),
        ({"held": 14}, {"held of grant main", "left and held in grants"}),
        ({"remaining": 74, "held": 14}, {"left of grant main", "held of grant main"}),
        ({"pending": 5}, {"pending of grant main"}),
    ],
)
def test_a_wrong_grant_is_named_and_mended(
    history: History, fields: dict[str, object], what: set[str]
) -> None:
    before = history.account
    books = history.books(account=with_grant(before, "main", **fields))
    assert what <= set(named(books))
    after = mended(books)
    assert after.grants == before.grants
    assert [one.what for one in find_differences(books, after)] == ["grant main"]


def test_a_grant_that_has_nothing_and_is_packed_all_the_same_is_dropped(history: History) -> None:
    extra = LiveGrant("gone", 3, NOW)
    books = history.books(account=replace(history.account, grants=(*history.account.grants, extra)))
    books = replace(books, grants={**books.grants, "gone": fold(history.entries)["gone"]})
    assert set(named(books)) == {"left of grant gone", "left and held in grants"}
    assert mended(books).grants == history.account.grants


def test_a_packed_grant_without_any_record_is_named_and_emptied(history: History) -> None:
    extra = LiveGrant("bogus", 3, NOW, pending=2)
    books = history.books(account=replace(history.account, grants=(*history.account.grants, extra)))
    assert named(books)["the record of grant bogus"] == ("a row", "no row")
    assert mended(books).grants == (*history.account.grants, replace(extra, remaining=0))


def test_what_is_packed_of_a_minting_grant_stays(history: History) -> None:
    target = Target("over", "over@1", 40, kind=GrantKind.OVERAGE, mints=True, meter="m")
    history.refresh(Allotment((target,)))
    books = history.books(account=replace(history.account, debt=1))
    after = mended(books)
    assert after.grants == history.account.grants
    assert after.received == history.account.received


def test_a_grant_that_is_packed_no_more_comes_back_from_its_record(history: History) -> None:
    before = replace(history.account, grants=())
    books = history.books(account=before)
    assert named(books)["left of grant main"] == (68, 0)
    assert named(books)["held of grant main"] == (15, 0)
    after = mended(books)
    assert set(after.grants) == set(history.account.grants)
    assert {one.what: one.found for one in find_differences(books, after)} == {
        "grant later": "not in the account",
        "grant main": "not in the account",
    }
    assert {one.expected for one in find_differences(books, after)} == {
        "68 left, 15 held",
        "0 left, 0 held, 50 pending",
    }


def test_what_a_record_says_of_a_lost_grant_is_had_again() -> None:
    made = History()
    made.grant("gift", 10, priority=3, expires_at=NOW + DAY, kind=GrantKind.PROMOTIONAL)
    made.reserve("hold", 4)
    made.take(apply(made.account, Revoke("gift"), NOW))
    after = mended(made.books(account=replace(made.account, grants=())))
    (live,) = after.grants
    assert (live.remaining, live.held, live.priority) == (0, 4, 3)
    assert live.lapses
    assert live.expires_at == NOW + DAY


def test_a_lost_grant_that_was_clawed_back_before_it_began_has_the_rest_pending() -> None:
    made = History()
    made.grant("later", 50, effective_at=NOW + DAY)
    made.take(apply(made.account, Clawback(20, "later"), NOW))
    books = made.books(account=replace(made.account, grants=()))
    assert named(books) == {"pending of grant later": (30, 0)}
    assert mended(books).grants == made.account.grants


def test_a_grant_that_was_revoked_before_it_began_stays_away() -> None:
    made = History()
    made.grant("later", 50, effective_at=NOW + DAY)
    made.take(apply(made.account, Revoke("later"), NOW))
    books = made.books()
    assert find_breaches(books) == ()
    assert mended(books).grants == ()


def test_a_lost_grant_that_makes_credits_makes_no_more() -> None:
    made = History()
    target = Target("over", "over@1", 40, kind=GrantKind.OVERAGE, mints=True, meter="m")
    made.refresh(Allotment((target,)))
    made.reserve("hold", 6)
    after = mended(made.books(account=replace(made.account, grants=())))
    (live,) = after.grants
    assert (live.remaining, live.held, live.mints, live.mint_left) == (0, 6, True, 0)
    change = settle(after, made.holds["hold"], Release(), NOW)
    assert change.account.posted == 0


def test_a_lost_grant_of_what_came_back_can_be_added_to_again() -> None:
    made = History()
    made.grant("back", 5, kind=GrantKind.RETURNED)
    (live,) = mended(made.books(account=replace(made.account, grants=()))).grants
    assert live.returned


# -- accounts that are lost -----------------------------------------------------------------------


@pytest.mark.parametrize("account", [None, Account("ada", "credits")])
def test_a_lost_account_is_had_again(history: History, account: Account | None) -> None:
    books = history.books(account=account)
    assert books.is_lost
    if account is None:
        assert named(books) == {"the account": ("a row", "no row")}
    else:
        assert {"posted", "held", "version"} <= set(named(books))
    after = mended(books)
    before = history.account
    assert set(after.grants) == set(before.grants)
    same = replace(before, revision=1, holds_due_at=NOW + HOUR, grants=after.grants)
    assert after == same
    assert find_breaches(replace(books, account=after)) == ()


def test_holds_without_an_account_are_named() -> None:
    hold = Hold("h", "ada", "credits", 5, (Allocation("g", 5),), NOW, NOW + HOUR)
    books = Books("ada", "credits", holds=held([hold]))
    assert set(named(books)) == {"held by open holds", "held of grant g by holds", "the account"}


WINDOW = Target(
    "si_1:every:credits",
    "si_1:every:credits@2026-03-01T00:00:00+00:00",
    100,
    window_start=NOW - 12 * HOUR,
    window_end=NOW + 30 * DAY,
    expires_at=NOW + 31 * DAY,
)


def test_what_a_lost_account_was_given_is_not_given_again() -> None:
    """The grants of the window tell it, an upgrade within the window included."""
    made = History()
    once = Target("once:credits", "once:credits", 5)
    made.refresh(Allotment((once, WINDOW)))
    made.refresh(Allotment((once, replace(WINDOW, amount=150))))
    after = mended(made.books(account=None))
    assert after.posted == 155
    assert after.received == {
        "once:credits": Received(5, series="once:credits"),
        WINDOW.key: Received(
            150, WINDOW.expires_at, WINDOW.series, datetime(2026, 3, 1, tzinfo=UTC)
        ),
    }
    due = Allotment((once, replace(WINDOW, amount=150)))
    assert refresh(after, due, NOW).account == after
    upgraded = refresh(after, Allotment((once, replace(WINDOW, amount=180))), NOW)
    assert [grant.amount for grant in upgraded.grants] == [30]
    earlier = replace(
        WINDOW, key=f"{WINDOW.series}@2026-02-01T00:00:00+00:00", window_start=NOW - 28 * DAY
    )
    assert refresh(after, Allotment((earlier,)), NOW).account.posted == 155


def test_windows_that_were_given_without_bound_are_remembered_so() -> None:
    made = History()
    made.refresh(Allotment((replace(WINDOW, amount=10),)))
    made.refresh(Allotment((replace(WINDOW, amount=None, mints=True),)))
    after = mended(made.books(account=None))
    assert after.received[WINDOW.key].amount is None


def test_grants_whose_ids_tell_no_window_are_not_taken_for_windows() -> None:
    made = History()
    made.refresh(Allotment((WINDOW,)))
    (record,) = made.grants.values()
    odd = {
        "rollover": replace(record, id=f"{WINDOW.key}/rollover"),
        "manual": replace(record, id="m/0", kind=GrantKind.MANUAL),
        "odd": replace(record, id="series@when/0"),
    }
    after = mended(made.books(account=None, records={**made.grants, **odd}))
    assert set(after.received) == {WINDOW.key, "series@when"}
    assert after.received["series@when"].start is None
    assert record.kind in WINDOW_KINDS


@pytest.mark.parametrize("column", ["grants", "received", "standing"])
def test_a_packed_column_that_cannot_be_read_is_named_and_derived(
    history: History, column: str
) -> None:
    history.refresh(Allotment((WINDOW,)))
    blank: dict[str, dict[str, object]] = {"grants": {"grants": ()}, "received": {"received": {}}}
    broken = replace(history.account, **blank.get(column, {}))
    books = history.books(account=broken, unreadable=(column,))
    assert named(books)[f"the packed {column}"] == ("readable", "not readable")
    assert "left and held in grants" not in named(books)
    after = mended(books)
    assert after.revision == history.account.revision + 1
    assert {live.id: live.remaining for live in after.grants} == {
        live.id: live.remaining for live in history.account.grants
    }
    assert after.received.keys() == history.account.received.keys()
    assert f"the packed {column}" in {one.what for one in find_differences(books, after)}


# -- what is not the account's --------------------------------------------------------------------


def test_missing_entries_are_named_and_nothing_is_built_on_the_rest(history: History) -> None:
    del history.entries[2]
    books = history.books()
    assert named(books)["the number of entries"] == (len(history.entries) + 1, len(history.entries))
    derived = rebuild(books)
    assert derived.account is None
    assert "entries are missing" in derived.obstacles[0]


def test_a_missing_first_entry_is_named(history: History) -> None:
    del history.entries[0]
    assert named(history.books())["the number of the first entry"] == (1, 2)


@pytest.mark.parametrize(
    "sums",
    [
        Sums(1, 1, 1, posted=-1, held=-1),
        Sums(1, 1, 1, posted=3, held=5),
        Sums(1, 1, 1, debt=-1),
    ],
)
def test_sums_that_no_account_can_have_are_not_written(sums: Sums) -> None:
    (obstacle,) = rebuild(Books("ada", "credits", entries=sums)).obstacles
    assert "no account can have" in obstacle


@pytest.mark.parametrize("sums", [Sums(1, posted=1, held=2), Sums(1, posted=-1, held=-1)])
def test_a_grant_of_less_than_nothing_is_not_written(history: History, sums: Sums) -> None:
    books = history.books()
    books = replace(books, grants={**books.grants, "main": sums})
    assert any("less than nothing" in text for text in rebuild(books).obstacles)


def test_credits_of_a_grant_that_nobody_knows_are_not_written(history: History) -> None:
    del history.grants["main"]
    books = history.books()
    assert named(books) == {"the record of grant main": ("a row", "no row")}
    assert rebuild(books).obstacles == ("grant main has no record",)


def test_entries_that_move_credits_of_no_grant_are_named(history: History) -> None:
    entry = Entry("ada", "credits", history.account.version + 1, EntryKind.GRANT, NOW, 5)
    history.entries.append(entry)
    books = history.books()
    assert named(books)["posted by entries without a grant"] == (0, 5)
    assert rebuild(books).obstacles == ("entries move credits without naming a grant",)


def test_a_hold_that_was_lost_is_named_and_stays_lost(history: History) -> None:
    del history.holds["two"]
    books = history.books()
    wanted = {"held by open holds": (15, 0), "held of grant main by holds": (15, 0)}
    assert named(books) == wanted
    assert mended(books) == history.account


def test_a_hold_that_contradicts_itself_is_named() -> None:
    folded = HoldFold()
    for number in range(MAX_FAULTY_HOLDS + 5):
        folded.add(f"h{number}", 5, (Allocation("g", 4),), NOW + number * HOUR)
    folded.add("u", 5, None, NOW - HOUR)
    result = folded.result()
    assert result.count == MAX_FAULTY_HOLDS + 6
    assert result.due_at == NOW - HOUR
    assert len(result.faults) == MAX_FAULTY_HOLDS
    books = Books("ada", "credits", Account("ada", "credits"), holds=result)
    assert named(books)["the allocations of hold h0"] == (5, 4)


def test_a_hold_whose_allocations_cannot_be_read_is_named() -> None:
    folded = HoldFold()
    folded.add("u", 5, None, NOW)
    books = Books("ada", "credits", Account("ada", "credits"), holds=folded.result())
    assert named(books)["the allocations of hold u"] == (5, "not readable")


# -- by chance ------------------------------------------------------------------------------------


def window(day: int, amount: int) -> Target:
    """One day of a series that rolls over, as it was bought by then."""
    start = datetime(2026, 3, 1, tzinfo=UTC) + day * DAY
    return Target(
        "si:credits",
        f"si:credits@{start.isoformat()}",
        amount,
        window_start=start,
        window_end=start + DAY,
        expires_at=start + DAY + 2 * HOUR,
        rollover=30,
    )


def overage(day: int) -> Target:
    start = datetime(2026, 3, 1, tzinfo=UTC) + day * DAY
    return Target(
        "si:credits:overage",
        f"si:credits:overage@{start.isoformat()}",
        40,
        kind=GrantKind.OVERAGE,
        window_start=start,
        window_end=start + DAY,
        expires_at=start + DAY + 2 * HOUR,
        mints=True,
        meter="m",
    )


@pytest.mark.parametrize("seed", range(25))
def test_whatever_happens_agrees_with_itself_and_is_had_again(seed: int) -> None:
    """Windows that roll over and are raised, overage, late returns, debt, revocations, expiries."""
    chance = random.Random(seed)
    policy = UnitPolicy(late_return=timedelta(hours=chance.choice((0, 9))))
    made, now = History(), datetime(2026, 3, 1, tzinfo=UTC)
    for step in range(150):
        now += timedelta(minutes=chance.randrange(120))
        day = (now - datetime(2026, 3, 1, tzinfo=UTC)) // DAY
        due = (window(day, chance.choice((50, 80))), *((overage(day),) if seed % 2 else ()))
        gone = frozenset({"si:credits"}) if chance.random() < 0.02 else frozenset[str]()
        made.take(refresh(made.account, Allotment(due, gone), now, policy=policy))
        commands: list[AccountCommand] = [
            Reserve(f"h{step}", chance.randrange(1, 60), now + 5 * HOUR, partial=True),
            Reserve(f"h{step}", chance.randrange(1, 20), now + 40 * HOUR),
            GrantCredits(
                f"g{step}",
                chance.randrange(1, 30),
                GrantKind.MANUAL,
                expires_at=now + chance.randrange(1, 90) * HOUR,
                effective_at=chance.choice((None, now + HOUR / 2)),
            ),
            Clawback(chance.randrange(1, 60), f"g{chance.randrange(step + 1)}"),
            Revoke(f"g{chance.randrange(step + 1)}"),
        ]
        with suppress(GatekeeperError):
            made.take(apply(made.account, chance.choice(commands), now, policy=policy))
        open_holds = [hold for hold in made.holds.values() if hold.status is HoldStatus.OPEN]
        for hold in open_holds if chance.random() < 0.6 else ():
            ends: list[HoldCommand] = [
                Capture(chance.randrange(9), final=False),
                Capture(chance.randrange(70), overrun="overage"),
                Release(),
            ]
            command = Expire() if hold.expires_at <= now else chance.choice(ends)
            with suppress(GatekeeperError):
                made.take(settle(made.account, hold, command, now, policy=policy))
        books = made.books()
        assert find_breaches(books) == ()
        assert mended(books) == made.account
        lost = mended(replace(books, account=None))
        sums = ("posted", "held", "debt", "version")
        assert all(getattr(lost, name) == getattr(made.account, name) for name in sums)
        assert find_breaches(replace(books, account=lost)) == ()
