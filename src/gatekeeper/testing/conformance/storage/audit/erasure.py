"""Erasing a customer, whose history goes on under a pseudonym."""

import pytest
from msgspec.structs import replace

from gatekeeper.ledger import Entry
from gatekeeper.ledger.books import find_breaches
from gatekeeper.storage.audit import Ties
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.audit.history import (
    CREDITS,
    all_of_a_customer,
    beta,
    books_of,
    keys_after,
)
from gatekeeper.testing.conformance.storage.samples import DAY, HOUR, NOW


class ErasureConformance:
    """What every store must do to erase. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

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
        await store.write(all_of_a_customer)
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
        await store.write(all_of_a_customer)
        before = await store.read(lambda tx: tx.ledger.account(*CREDITS, lock=False))
        entries = await store.read(lambda tx: tx.ledger.entries(*CREDITS, 0, 100))
        await _erase(store)
        key = ("erased_1", "credits")
        books = await books_of(store, key)
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
        await store.write(all_of_a_customer)
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
        await store.write(all_of_a_customer)
        await _erase(store)
        assert await store.read(lambda tx: tx.audit.is_erased("ada"))
        assert not await store.read(lambda tx: tx.audit.is_erased("Ada"))
        assert not await store.read(lambda tx: tx.audit.is_erased("erased_1"))

    async def test_other_customers_are_left_alone(self, store: Store) -> None:
        def fill(tx: Transaction) -> None:
            all_of_a_customer(tx)
            tx.customers.insert(samples.customer("bob", email="bob@example.com"))
            samples.fund(tx, 10, "bob", grant_id="grant_b")
            samples.hold(tx, "hold_1", 4, "bob")
            tx.outbox.add([samples.message("msg_b", "bob")])
            tx.purchases.insert(samples.purchase("pur_b", customer="bob"))
            tx.customers.put_override("bob", beta())

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
        await store.write(all_of_a_customer)
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
        assert await keys_after(store, None, 9) == [CREDITS, ("bob", "exports")]

    async def test_an_erasure_that_fails_changes_nothing(self, store: Store) -> None:
        await store.write(all_of_a_customer)
        before = await books_of(store, CREDITS)

        def fail(tx: Transaction) -> None:
            tx.audit.erase("ada", "erased_1", NOW)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await store.write(fail)
        assert await books_of(store, CREDITS) == before
        assert not await store.read(lambda tx: tx.audit.is_erased("ada"))
        assert await store.read(lambda tx: tx.customers.by_stripe_id("cus_ada")) is not None


def _wiped(entry: Entry) -> Entry:
    return replace(entry, customer="erased_1", actor=None, reference=None, scope="", metadata=None)


async def _erase(store: Store) -> None:
    await store.write(lambda tx: tx.audit.erase("ada", "erased_1", NOW + DAY))
