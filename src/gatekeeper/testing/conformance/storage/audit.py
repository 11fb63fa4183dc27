"""The audit: books that can be verified, reports, and erasure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from gatekeeper.entitlements.state import Override
from gatekeeper.ledger import (
    Account,
    Capture,
    Change,
    Clawback,
    Entry,
    GrantCredits,
    GrantKind,
    Hold,
    Receipt,
    Release,
    Reserve,
    SetCap,
    apply,
    settle,
)
from gatekeeper.ledger.books import Books, find_breaches
from gatekeeper.storage.audit import Ties, UsageQuery, Used
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import DAY, HOUR, NOW, SECOND

NOON = datetime.fromisoformat("2026-01-31T12:00:00+00:00")
MIDNIGHT = datetime.fromisoformat("2026-01-31T00:00:00+00:00")
CREDITS = ("ada", "credits")


class AuditConformance:
    """What every store must do with its audit. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    # -- books ------------------------------------------------------------------------------------

    async def test_the_books_of_what_commands_did_agree(self, store: Store) -> None:
        await store.write(_a_little_of_everything)
        books = await _books(store, CREDITS)
        assert find_breaches(books) == ()
        account = books.account
        assert account is not None
        assert books.entries.is_whole
        assert books.entries.last == account.version
        assert (books.entries.posted, books.entries.held) == (account.posted, account.held)
        assert books.entries.last_at == NOW + HOUR
        assert books.holds.count == 1
        assert books.holds.remaining == account.held
        assert books.holds.due_at == NOW + 2 * HOUR
        assert books.unreadable == ()

    async def test_the_sums_of_grants_are_those_that_have_something(self, store: Store) -> None:
        await store.write(_a_little_of_everything)
        books = await _books(store, CREDITS)
        assert set(books.grants) == {"grant_1", "later"}
        assert set(books.records) == {"grant_1", "later"}
        sums = books.grants["grant_1"]
        assert (sums.posted, sums.held, sums.granted, sums.revoked) == (88, 20, 100, False)
        assert books.grants["later"].granted == 5
        assert books.records["later"].amount == 50

    async def test_an_account_that_was_never_used_has_empty_books(self, store: Store) -> None:
        books = await _books(store, CREDITS)
        assert books == Books(*CREDITS)
        assert find_breaches(books) == ()

    async def test_books_come_in_the_order_of_their_keys(self, store: Store) -> None:
        await store.write(lambda tx: samples.fund(tx, 5, "bob", grant_id="g"))
        keys = [("bob", "credits"), ("ada", "exports"), ("ada", "credits"), ("bob", "credits")]
        found = await store.read(lambda tx: tx.audit.books(keys, NOW))
        assert [(one.customer, one.unit) for one in found] == sorted(set(keys))
        assert [one.account is not None for one in found] == [False, False, True]
        assert await store.read(lambda tx: list(tx.audit.books([], NOW))) == []

    async def test_locking_books_shows_what_they_are(self, store: Store) -> None:
        await store.write(_a_little_of_everything)
        keys = [CREDITS, ("ada", "exports")]
        plain = await store.read(lambda tx: tx.audit.books(keys, NOW))
        locked = await store.write(lambda tx: tx.audit.books(keys, NOW, lock=True))
        assert locked == plain

    async def test_a_restored_account_is_read_back_as_it_is(self, store: Store) -> None:
        await store.write(_a_little_of_everything)
        before = await store.read(lambda tx: tx.ledger.account(*CREDITS, lock=False))
        wrong = replace(before, posted=before.posted + 7, debt=3, revision=before.revision + 1)
        await store.write(lambda tx: tx.audit.restore(wrong))
        assert await store.read(lambda tx: tx.ledger.account(*CREDITS, lock=False)) == wrong
        named = {one.what for one in find_breaches(await _books(store, CREDITS))}
        assert named == {"posted", "debt", "left and held in grants"}
        await store.write(lambda tx: tx.audit.restore(Account("new", "credits", revision=1)))
        assert await store.read(lambda tx: tx.audit.count("new")) == 1

    async def test_everything_with_a_history_is_found_once_in_pages(self, store: Store) -> None:
        def fill(tx: Transaction) -> None:
            for customer in ("ada", "bob", "cy"):
                for unit in ("credits", "exports"):
                    samples.fund(tx, 5, customer, unit, grant_id=f"{customer}/{unit}")

        await store.write(fill)
        seen: list[tuple[str, str]] = []
        after: tuple[str, str | None] | None = None
        while page := await _keys(store, after, 2):
            assert len(page) <= 2
            seen += page
            after = page[-1]
        wanted = [(c, u) for c in ("ada", "bob", "cy") for u in ("credits", "exports")]
        assert seen == wanted
        assert await _keys(store, ("ada", None), 10) == wanted[2:]
        assert await _keys(store, None, 10, customer="bob") == wanted[2:4]
        assert await _keys(store, ("bob", "credits"), 10, customer="bob") == wanted[3:4]
        assert await _keys(store, ("bob", None), 10, customer="bob") == []
        assert await store.read(lambda tx: tx.audit.count()) == 6
        assert await store.read(lambda tx: tx.audit.count("bob")) == 2
        found = await store.read(lambda tx: tx.audit.ledgered(None, 1))
        assert [one.version for one in found] == [1]

    # -- reports ----------------------------------------------------------------------------------

    async def test_use_is_put_together_by_hour_and_day(self, store: Store) -> None:
        await store.write(_some_use)
        assert await _used(store, by="hour") == [
            Used(NOON, "credits", "", 1, 1),
            Used(NOON, "credits", "chat", 5, 2),
            Used(NOON, "credits", "image", 4, 1),
            Used(NOON, "exports", "chat", 10, 1),
            Used(NOON + HOUR, "credits", "chat", 6, 1),
            Used(NOON + 12 * HOUR, "credits", "chat", 7, 1),
        ]
        assert await _used(store) == [
            Used(MIDNIGHT, "credits", "", 1, 1),
            Used(MIDNIGHT, "credits", "chat", 11, 3),
            Used(MIDNIGHT, "credits", "image", 4, 1),
            Used(MIDNIGHT, "exports", "chat", 10, 1),
            Used(MIDNIGHT + DAY, "credits", "chat", 7, 1),
        ]

    async def test_use_can_be_narrowed_and_told_apart(self, store: Store) -> None:
        await store.write(_some_use)
        assert _amounts(await _used(store, unit="exports")) == [10]
        assert _amounts(await _used(store, feature="image")) == [4]
        assert _amounts(await _used(store, actor="ann")) == [5, 4]
        assert _amounts(await _used(store, scope="design")) == [5, 4]
        assert _amounts(await _used(store, scope="design/ann")) == [4]
        assert _amounts(await _used(store, scope="desi")) == []
        assert _amounts(await _used(store, scope="%")) == []
        by_actor = await _used(store, per="actor", unit="credits")
        assert [(one.name, one.amount) for one in by_actor] == [("", 7), ("ann", 9), ("", 7)]
        by_scope = await _used(store, per="scope", unit="credits")
        assert [(one.name, one.amount) for one in by_scope] == [
            ("", 6),
            ("design", 5),
            ("design/ann", 4),
            ("designer", 1),
            ("", 7),
        ]

    async def test_use_counts_from_since_and_before_until(self, store: Store) -> None:
        await store.write(_some_use)
        late = NOON + 12 * HOUR
        assert _amounts(await _used(store, since=late)) == [7]
        assert _amounts(await _used(store, since=late + SECOND / 1_000_000)) == []
        assert 7 not in _amounts(await _used(store, until=late))
        assert 7 in _amounts(await _used(store, until=late + SECOND / 1_000_000))

    async def test_pages_of_use_go_on_behind_a_place(self, store: Store) -> None:
        await store.write(_some_use)
        whole = await _used(store, by="hour")
        for size in (1, 2, 3):
            seen: list[Used] = []
            while page := await _used(
                store, by="hour", limit=size, after=seen[-1].place if seen else None
            ):
                seen += page
            assert seen == whole

    async def test_totals_are_of_all_pages_by_unit(self, store: Store) -> None:
        await store.write(_some_use)
        assert await store.read(lambda tx: tx.audit.totals(_query())) == {
            "credits": 23,
            "exports": 10,
        }
        nobody = _query(customer="bob")
        assert await store.read(lambda tx: tx.audit.totals(nobody)) == {}

    async def test_the_newest_entries_come_first(self, store: Store) -> None:
        await store.write(_a_little_of_everything)
        last = (await store.read(lambda tx: tx.ledger.account(*CREDITS, lock=False))).version
        newest = await store.read(lambda tx: tx.audit.newest(*CREDITS, None, 3))
        assert [entry.sequence for entry in newest] == [last, last - 1, last - 2]
        oldest = await store.read(lambda tx: tx.audit.newest(*CREDITS, 3, 10))
        stored = await store.read(lambda tx: tx.ledger.entries(*CREDITS, 0, 2))
        assert list(oldest) == list(reversed(stored))
        assert await _no_entries(store, ("ada", "exports"))

    # -- erasure ----------------------------------------------------------------------------------

    async def test_what_is_not_finished_is_told(self, store: Store) -> None:
        def fill(tx: Transaction) -> None:
            samples.fund(tx, 100)
            samples.hold(tx)
            tx.subscriptions.save(samples.subscription(), [samples.item()])
            tx.subscriptions.save(samples.subscription("sub_2", status="canceled"), [])
            tx.metering.record([samples.usage(), samples.usage("use_2"), samples.usage("m", "b")])
            tx.metering.mark("ada", "overage", NOW, NOW + DAY, "window")
            tx.metering.add_window(samples.usage_window())

        assert await store.read(lambda tx: tx.audit.ties("ada")) == Ties()
        await store.write(fill)
        found = await store.read(lambda tx: tx.audit.ties("ada"))
        assert found == Ties(1, ("sub_1",), 1)

    async def test_an_erased_customer_is_nowhere_any_more(self, store: Store) -> None:
        await store.write(_all_of_a_customer)
        await _erase(store)

        def look(tx: Transaction) -> None:
            assert tx.customers.get("ada") is None
            assert tx.customers.by_stripe_id("cus_ada") is None
            assert tx.customers.state("ada") is None
            assert list(tx.ledger.accounts("ada")) == []
            assert list(tx.ledger.entries("ada", "credits", 0, 100)) == []
            assert tx.ledger.find_hold("hold_1", customer="ada") is None
            assert list(tx.ledger.caps("ada", "credits")) == []
            assert tx.ledger.receipt("ada", "key") is None
            assert list(tx.purchases.pending("ada")) == []
            assert tx.audit.ties("ada") == Ties()
            assert list(tx.audit.ledgered(None, 10, customer="ada")) == []
            assert list(tx.outbox.claim(NOW + DAY, NOW + 2 * DAY, 10)) == []

        await store.write(look)

    async def test_the_history_goes_on_under_the_pseudonym(self, store: Store) -> None:
        await store.write(_all_of_a_customer)
        before = await store.read(lambda tx: tx.ledger.account(*CREDITS, lock=False))
        entries = await store.read(lambda tx: tx.ledger.entries(*CREDITS, 0, 100))
        await _erase(store)
        key = ("erased_1", "credits")
        books = await _books(store, key)
        assert find_breaches(books) == ()
        account = books.account
        assert account is not None
        assert (account.posted, account.held, account.grants) == (
            before.posted,
            before.held,
            before.grants,
        )
        assert account.revision == before.revision + 1
        assert account.caps == ()
        kept = await store.read(lambda tx: tx.ledger.entries(*key, 0, 100))
        assert list(kept) == [_wiped(entry) for entry in entries]
        hold = await store.read(lambda tx: tx.ledger.find_hold("hold_1"))
        assert hold is not None
        assert (hold.customer, hold.feature) == ("erased_1", "chat")
        assert (hold.actor, hold.reference, hold.scope, hold.metadata) == (None, None, "", None)
        record = books.records["grant_1"]
        assert (record.actor, record.reason, record.metadata) == (None, None, None)
        assert (await store.read(lambda tx: tx.ledger.grant_by_source("paid_1"))) == record

    async def test_the_rest_of_an_erased_customer_is_the_pseudonyms(self, store: Store) -> None:
        await store.write(_all_of_a_customer)
        await _erase(store)

        def look(tx: Transaction) -> None:
            customer = tx.customers.get("erased_1")
            assert customer == samples.customer("erased_1", version=1, deleted_at=NOW + DAY)
            subscription = tx.subscriptions.get("sub_1")
            assert subscription is not None
            assert subscription.customer == "erased_1"
            (item,) = tx.subscriptions.items("sub_1")
            assert [line.id for line in item.paid_lines] == ["il_1"]
            assert tx.subscriptions.add_paid_lines("erased_1", [samples.paid_line()]) == 0
            invoice = tx.subscriptions.oldest_unpaid("sub_1")
            assert invoice is not None
            assert invoice.customer == "erased_1"
            (purchase,) = tx.purchases.pending("erased_1")
            assert purchase.id == "pur_1"

        await store.write(look)

    async def test_an_id_that_was_erased_is_known_to_be_so(self, store: Store) -> None:
        await store.write(_all_of_a_customer)
        await _erase(store)
        assert await store.read(lambda tx: tx.audit.is_erased("ada"))
        assert not await store.read(lambda tx: tx.audit.is_erased("Ada"))
        assert not await store.read(lambda tx: tx.audit.is_erased("erased_1"))

    async def test_other_customers_are_left_alone(self, store: Store) -> None:
        def fill(tx: Transaction) -> None:
            _all_of_a_customer(tx)
            tx.customers.insert(samples.customer("bob", email="bob@example.com"))
            samples.fund(tx, 10, "bob", grant_id="grant_b")
            samples.hold(tx, "hold_1", 4, "bob")
            tx.outbox.add([samples.message("msg_b", "bob")])
            tx.purchases.insert(samples.purchase("pur_b", customer="bob"))
            tx.customers.put_override("bob", _beta())

        await store.write(fill)
        keys = [("bob", "credits")]
        before = await store.read(lambda tx: tx.audit.books(keys, NOW))
        state = await store.read(lambda tx: tx.customers.state("bob"))
        await _erase(store)
        assert await store.read(lambda tx: tx.audit.books(keys, NOW)) == before
        assert await store.read(lambda tx: tx.customers.state("bob")) == state
        bob = await store.read(lambda tx: tx.customers.get("bob"))
        assert bob == samples.customer("bob", email="bob@example.com")
        claimed = await store.write(lambda tx: tx.outbox.claim(NOW, NOW + HOUR, 10))
        assert [message.id for message in claimed] == ["msg_b"]
        assert len(await store.read(lambda tx: tx.purchases.pending("bob"))) == 1

    async def test_an_account_that_was_only_locked_is_not_kept(self, store: Store) -> None:
        await store.write(_all_of_a_customer)
        await store.write(lambda tx: tx.ledger.lock([("ada", "exports")], wait=True))
        await _erase(store)
        accounts = await store.read(lambda tx: tx.ledger.accounts("erased_1"))
        assert [account.unit for account in accounts] == ["credits"]

    async def test_accounts_that_nothing_was_written_of_can_be_dropped(self, store: Store) -> None:
        def fill(tx: Transaction) -> None:
            samples.fund(tx, 5)
            tx.ledger.lock([("ada", "exports"), ("bob", "exports")], wait=True)
            tx.audit.drop_unused("ada")

        await store.write(fill)
        assert await _keys(store, None, 9) == [CREDITS, ("bob", "exports")]

    async def test_an_erasure_that_fails_changes_nothing(self, store: Store) -> None:
        await store.write(_all_of_a_customer)
        before = await _books(store, CREDITS)

        def fail(tx: Transaction) -> None:
            tx.audit.erase("ada", "erased_1", NOW)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await store.write(fail)
        assert await _books(store, CREDITS) == before
        assert not await store.read(lambda tx: tx.audit.is_erased("ada"))
        assert await store.read(lambda tx: tx.customers.by_stripe_id("cus_ada")) is not None


# -- what is stored -------------------------------------------------------------------------------


def grant(
    tx: Transaction, amount: int, unit: str = "credits", grant_id: str = "grant_1", **said: object
) -> Change:
    """Give Ada a grant, of which something is said."""
    before = tx.ledger.account("ada", unit, lock=True)
    command = replace(GrantCredits(grant_id, amount, GrantKind.MANUAL), **said)
    change = apply(before, command, NOW)
    tx.ledger.save(before, change)
    return change


def reserve(
    tx: Transaction, hold_id: str, amount: int, at: datetime, unit: str = "credits", **said: object
) -> Hold:
    """Hold something of Ada's, of which something is said."""
    before = tx.ledger.account("ada", unit, lock=True)
    command = replace(Reserve(hold_id, amount, at + HOUR), **said)
    change = apply(before, command, at)
    tx.ledger.save(before, change)
    assert change.hold is not None
    return change.hold


def end(tx: Transaction, hold: Hold, command: Capture | Release, at: datetime) -> None:
    """End a hold of Ada's."""
    before = tx.ledger.account(hold.customer, hold.unit, lock=True)
    tx.ledger.save(before, settle(before, hold, command, at))


def use(
    tx: Transaction, hold_id: str, amount: int, at: datetime, unit: str = "credits", **said: object
) -> None:
    """Use something of Ada's."""
    hold = reserve(tx, hold_id, amount, at, unit, **said)
    end(tx, hold, Capture(), at)


def _a_little_of_everything(tx: Transaction) -> None:
    """A grant, one that is used up, one that begins later and is clawed back in part; holds that
    ended in every way, and one that is open and captured in part."""
    grant(tx, 3, grant_id="gone", priority=-1)
    use(tx, "hold_0", 3, NOW)
    grant(tx, 100)
    grant(tx, 50, grant_id="later", effective_at=NOW + DAY)
    before = tx.ledger.account(*CREDITS, lock=True)
    tx.ledger.save(before, apply(before, Clawback(5, "later"), NOW))
    end(tx, reserve(tx, "hold_1", 10, NOW), Capture(7), NOW + SECOND)
    end(tx, reserve(tx, "hold_2", 10, NOW + SECOND), Release(), NOW + 2 * SECOND)
    end(tx, reserve(tx, "hold_3", 25, NOW + HOUR), Capture(5, final=False), NOW + HOUR)


def _some_use(tx: Transaction) -> None:
    grant(tx, 100)
    grant(tx, 10, "exports", "grant_2")
    minutes = timedelta(minutes=1)
    use(tx, "1", 2, NOON, feature="chat", actor="ann", scope="design")
    use(tx, "2", 3, NOON + 59 * minutes, feature="chat", actor="ann", scope="design")
    use(tx, "3", 4, NOON + 59 * minutes, feature="image", actor="ann", scope="design/ann")
    use(tx, "4", 1, NOON + 59 * minutes, scope="designer")
    use(tx, "5", 10, NOON, "exports", feature="chat")
    use(tx, "6", 6, NOON + HOUR, feature="chat")
    use(tx, "7", 7, NOON + 12 * HOUR, feature="chat")
    end(tx, reserve(tx, "8", 9, NOON + 12 * HOUR, feature="chat"), Release(), NOON + 12 * HOUR)
    reserve(tx, "9", 9, NOON + 12 * HOUR, feature="chat")


def _all_of_a_customer(tx: Transaction) -> None:
    """A row of Ada's in every table that names customers."""
    said = {"actor": "ann", "metadata": '{"mail": "ann@example.com"}'}
    ada = samples.customer(stripe_id="cus_ada", email="ada@example.com", name="Ada")
    tx.customers.insert(ada)
    grant(tx, 100, source_key="paid_1", reason="sorry, Ada", **said)
    reserve(
        tx, "hold_1", 40, NOW, feature="chat", reference="mail to Ada", scope="design/ann", **said
    )
    before = tx.ledger.account(*CREDITS, lock=True)
    tx.ledger.save(before, apply(before, SetCap("day", 500, "design/ann", actor="ann"), NOW))
    before = tx.ledger.account(*CREDITS, lock=True)
    tx.ledger.save(before, apply(before, SetCap("day", 500), NOW))
    tx.ledger.put_receipt(Receipt("ada", "key", "f", "{}", NOW))
    tx.customers.put_override("ada", _beta(reason="she", actor="bob"))
    tx.subscriptions.save(samples.subscription(), [samples.item()])
    tx.subscriptions.add_paid_lines("ada", [samples.paid_line()])
    tx.subscriptions.save_invoice(samples.invoice())
    tx.purchases.insert(samples.purchase())
    tx.outbox.add([samples.message(), samples.message("msg_2")])


def _beta(**said: str) -> Override:
    return replace(Override(kind="feature", key="beta", value=True), **said)


def _wiped(entry: Entry) -> Entry:
    return replace(entry, customer="erased_1", actor=None, reference=None, scope="", metadata=None)


# -- what is asked --------------------------------------------------------------------------------


def _query(**fields: object) -> UsageQuery:
    return replace(UsageQuery(customer="ada", since=NOON - DAY, until=NOON + 9 * DAY), **fields)


def _amounts(found: Sequence[Used]) -> list[int]:
    return [used.amount for used in found]


async def _used(
    store: Store,
    *,
    after: tuple[datetime, str, str] | None = None,
    limit: int = 100,
    **fields: object,
) -> list[Used]:
    return list(await store.read(lambda tx: list(tx.audit.used(_query(**fields), after, limit))))


async def _books(store: Store, key: tuple[str, str]) -> Books:
    (found,) = await store.read(lambda tx: tx.audit.books([key], NOW))
    return found


async def _keys(
    store: Store,
    after: tuple[str, str | None] | None,
    limit: int,
    customer: str | None = None,
) -> list[tuple[str, str]]:
    found = await store.read(lambda tx: tx.audit.ledgered(after, limit, customer=customer))
    return [one.key for one in found]


async def _no_entries(store: Store, key: tuple[str, str]) -> bool:
    return not await store.read(lambda tx: list(tx.audit.newest(*key, None, 3)))


async def _erase(store: Store) -> None:
    await store.write(lambda tx: tx.audit.erase("ada", "erased_1", NOW + DAY))
