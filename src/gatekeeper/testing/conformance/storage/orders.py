"""What customers pay once."""

import pytest
from msgspec.structs import replace

from gatekeeper.errors import NotFoundError
from gatekeeper.projection.orders import OrderStatus
from gatekeeper.storage.orders import Order, OrderPayment
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.testing.conformance.storage.samples import DAY, NOW, SECOND

ORDER = Order(
    id="ord_1",
    customer="ada",
    status=OrderStatus.PENDING,
    amount_minor=1_250,
    currency="eur",
    created_at=NOW,
    updated_at=NOW,
    reference="cart 7",
    seller="bob",
)
PAID = replace(
    ORDER,
    status=OrderStatus.REFUNDED,
    updated_at=NOW + SECOND,
    actor="ada's clerk",
    description="Two cups",
    items='[{"cup":2}]',
    metadata='{"basket":"7"}',
    capture="manual",
    commission_minor=100,
    transfers="separate",
    revision=2,
    payment_id="pi_1",
    checkout_session_id="cs_1",
    authorized_minor=1_250,
    captured_minor=1_000,
    refunded_minor=1_000,
    failure="card_declined",
    paid_at=NOW + SECOND,
    canceled_at=NOW + DAY,
    cancel_reason="abandoned",
)
PAYMENT = OrderPayment(
    id="pi_1",
    order_id="ord_1",
    customer="ada",
    status="requires_payment_method",
    amount_minor=1_250,
    currency="eur",
    created_at=NOW,
)
RECEIVED = replace(
    PAYMENT,
    status="succeeded",
    capturable_minor=250,
    received_minor=1_000,
    returned_minor=300,
    charge_id="ch_1",
    failure="card_declined",
    fault="another customer",
)


class OrderConformance:
    """What every store must do with orders. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_an_order_comes_back_as_written(self, store: Store) -> None:
        assert await store.read(lambda tx: tx.orders.get("ord_1")) is None
        assert await store.write(lambda tx: tx.orders.insert(ORDER))
        assert await store.read(lambda tx: tx.orders.get("ord_1")) == ORDER
        assert await store.read(lambda tx: tx.orders.by_session("cs_1")) is None
        await store.write(lambda tx: tx.orders.save(PAID))
        assert await store.write(lambda tx: tx.orders.get("ord_1", lock=True)) == PAID
        assert await store.read(lambda tx: tx.orders.by_session("cs_1")) == PAID
        with pytest.raises(NotFoundError):
            await store.write(lambda tx: tx.orders.save(replace(ORDER, id="ord_9")))

    async def test_an_id_and_a_customers_reference_are_taken_once(self, store: Store) -> None:
        others = [
            (replace(ORDER, reference="cart 8"), False),
            (replace(ORDER, id="ord_2"), False),
            (replace(ORDER, id="ord_3", customer="bob"), True),
            (replace(ORDER, id="ord_4", reference=None), True),
            (replace(ORDER, id="ord_5", reference=None), True),
        ]
        assert await store.write(lambda tx: tx.orders.insert(ORDER))
        for order, taken in others:
            assert await store.write(lambda tx, it=order: tx.orders.insert(it)) is taken  # type: ignore[misc]
        assert await store.read(lambda tx: tx.orders.by_reference("ada", "cart 7")) == ORDER
        assert await store.read(lambda tx: tx.orders.by_reference("ada", "cart 8")) is None

    async def test_orders_are_listed_the_newest_first(self, store: Store) -> None:
        def fill(tx: Transaction) -> None:
            for number, (customer, seller) in enumerate(
                [("ada", "bob"), ("ada", "bob"), ("ada", None), ("eve", "bob")]
            ):
                made = NOW + (number // 2) * SECOND
                tx.orders.insert(
                    replace(
                        ORDER,
                        id=f"ord_{number}",
                        customer=customer,
                        seller=seller,
                        reference=None,
                        created_at=made,
                    )
                )

        await store.write(fill)
        first = await store.read(lambda tx: tx.orders.of_customer("ada", 2))
        assert [one.id for one in first] == ["ord_2", "ord_1"]
        rest = await store.read(lambda tx: tx.orders.of_customer("ada", 2, first[-1].place))
        assert [one.id for one in rest] == ["ord_0"]
        sales = await store.read(lambda tx: tx.orders.of_seller("bob", 9))
        assert [one.id for one in sales] == ["ord_3", "ord_1", "ord_0"]
        older = await store.read(lambda tx: tx.orders.of_seller("bob", 9, sales[0].place))
        assert [one.id for one in older] == ["ord_1", "ord_0"]

    async def test_orders_that_are_not_paid_are_listed_in_pages(self, store: Store) -> None:
        begun = replace(ORDER, payment_id="pi_1", reference=None)
        rows = [
            replace(begun, id="ord_3"),
            replace(begun, id="ord_1", status=OrderStatus.PROCESSING),
            replace(begun, id="ord_2", payment_id=None, checkout_session_id="cs_1"),
            replace(begun, id="ord_4", payment_id=None),
            replace(begun, id="ord_5", status=OrderStatus.PAID),
            replace(begun, id="ord_6", created_at=NOW - SECOND),
            replace(begun, id="ord_7", status=OrderStatus.FAILED),
        ]

        def insert(tx: Transaction) -> None:
            for row in rows:
                tx.orders.insert(row)

        await store.write(insert)
        first = await store.read(lambda tx: tx.orders.unsettled_after("", NOW, 2))
        assert [one.id for one in first] == ["ord_1", "ord_2"]
        rest = await store.read(lambda tx: tx.orders.unsettled_after("ord_2", NOW, 9))
        assert [one.id for one in rest] == ["ord_3", "ord_7"]

    async def test_payments_are_kept_with_their_order(self, store: Store) -> None:
        other = replace(PAYMENT, id="pi_0", created_at=NOW + SECOND)

        def fill(tx: Transaction) -> None:
            for payment in (PAYMENT, other, RECEIVED, replace(PAYMENT, id="pi_9", order_id="o")):
                tx.orders.put_payment(payment)

        assert await store.read(lambda tx: tx.orders.payment("pi_1")) is None
        await store.write(fill)
        assert await store.read(lambda tx: tx.orders.payment("pi_1")) == RECEIVED
        assert list(await store.read(lambda tx: tx.orders.payments("ord_1"))) == [RECEIVED, other]

    async def test_an_erased_customer_is_in_no_order(self, store: Store) -> None:
        def fill(tx: Transaction) -> None:
            tx.orders.insert(PAID)
            tx.orders.insert(replace(ORDER, id="ord_2", customer="bob", seller="ada"))
            tx.orders.put_payment(RECEIVED)

        await store.write(fill)
        await store.write(lambda tx: tx.audit.erase("ada", "erased_1", NOW))
        wiped = replace(
            PAID,
            customer="erased_1",
            actor=None,
            reference=None,
            description=None,
            items="null",
            metadata="{}",
        )
        assert await store.read(lambda tx: tx.orders.get("ord_1")) == wiped
        sold = await store.read(lambda tx: tx.orders.get("ord_2"))
        assert sold is not None
        assert (sold.customer, sold.seller, sold.reference) == ("bob", "erased_1", "cart 7")
        payment = await store.read(lambda tx: tx.orders.payment("pi_1"))
        assert payment == replace(RECEIVED, customer="erased_1")
