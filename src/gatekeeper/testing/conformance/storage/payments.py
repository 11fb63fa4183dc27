"""What payments have granted."""

import asyncio

import pytest
from msgspec.structs import replace

from gatekeeper.storage.payments import Payment, Share, plans_of
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.testing.conformance.storage.samples import DAY, NOW

FULL = Payment(
    id="pi_1",
    customer="org_1",
    invoice_id="in_1",
    amount_minor=500,
    returned_minor=100,
    shares=(
        Share(
            unit="credits",
            grant_id="g1",
            key="test/acct_1/pi_1/pack/credits",
            amount=100,
            kind="top_up",
            expires_at=NOW + DAY,
            taken=20,
            turns=1,
        ),
    ),
    updated_at=NOW,
)


class PaymentConformance:
    """What every store must do with payments. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_a_payment_comes_back_as_saved(self, store: Store) -> None:
        def save(tx: Transaction) -> Payment:
            new = tx.payments.lock("pi_1")
            tx.payments.save(FULL)
            return new

        assert await store.write(save) == Payment(id="pi_1")
        assert await store.read(lambda tx: tx.payments.get("pi_1")) == FULL
        assert await store.write(lambda tx: tx.payments.lock("pi_1")) == FULL
        assert await store.read(lambda tx: tx.payments.get("pi_2")) is None

    async def test_payments_are_found_by_their_invoice(self, store: Store) -> None:
        twin = replace(FULL, id="pi_0")

        def save(tx: Transaction) -> None:
            for one in (FULL, twin, replace(FULL, id="pi_2", invoice_id="in_2")):
                tx.payments.lock(one.id)
                tx.payments.save(one)

        await store.write(save)
        assert await store.read(lambda tx: list(tx.payments.of_invoice("in_1"))) == [twin, FULL]

    async def test_who_locks_a_payment_sees_what_the_last_one_saved(self, store: Store) -> None:
        def add(tx: Transaction) -> None:
            known = tx.payments.lock("pi_1")
            tx.payments.save(replace(known, amount_minor=known.amount_minor + 1))

        await asyncio.gather(*(store.write(add) for _ in range(8)))
        found = await store.read(lambda tx: tx.payments.get("pi_1"))
        assert found is not None
        assert found.amount_minor == 8

    async def test_an_erased_customer_leaves_a_pseudonym(self, store: Store) -> None:
        def erase(tx: Transaction) -> None:
            tx.payments.lock("pi_1")
            tx.payments.save(FULL)
            tx.audit.erase("org_1", "erased_1", NOW)

        await store.write(erase)
        found = await store.read(lambda tx: tx.payments.get("pi_1"))
        assert found == replace(FULL, customer="erased_1")

    async def test_the_row_of_an_erased_customers_plans_is_not_found_by_their_id(
        self, store: Store
    ) -> None:
        def erase(tx: Transaction) -> None:
            row = tx.payments.lock(plans_of("org_1"))
            tx.payments.save(replace(row, customer="org_1", amount_minor=7))
            tx.audit.erase("org_1", "erased_1", NOW)

        await store.write(erase)
        assert await store.read(lambda tx: tx.payments.get(plans_of("org_1"))) is None
        found = await store.read(lambda tx: tx.payments.get(plans_of("erased_1")))
        assert found is not None
        assert (found.customer, found.amount_minor) == ("erased_1", 7)
