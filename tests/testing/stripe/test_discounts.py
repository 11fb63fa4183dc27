"""Coupons, promotion codes and what they take off. Amounts are worked out by hand."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
import stripe

from gatekeeper.testing.stripe import ApiError, Simulator
from gatekeeper.testing.stripe.billing.reductions import Part, taken
from tests.testing.stripe.shop import new_payer, new_price, new_session, subscribe


def coupon(client: Any, **terms: Any) -> Any:
    return client.v1.coupons.create({"percent_off": 25, "duration": "once", **terms})


def promotion(client: Any, of: Any, **terms: Any) -> Any:
    return client.v1.promotion_codes.create(
        {"promotion": {"type": "coupon", "coupon": of.id}, **terms}
    )


def paid(client: Any, customer: Any) -> list[int]:
    """What the customer's invoices came to, the oldest first."""
    found = client.v1.invoices.list({"customer": str(customer), "limit": 100}).data
    return [invoice.amount_paid for invoice in reversed(found)]


@pytest.mark.parametrize(
    ("terms", "amounts"),
    [
        ({"percent_off": 25, "duration": "once"}, [749, 999, 999, 999]),
        ({"percent_off": 25, "duration": "forever"}, [749, 749, 749, 749]),
        (
            {"percent_off": 12.5, "duration": "repeating", "duration_in_months": 2},
            [874, 874, 999, 999],
        ),
        ({"amount_off": 500, "currency": "eur", "duration": "once"}, [499, 999, 999, 999]),
        ({"amount_off": 5_000, "currency": "eur", "duration": "once"}, [0, 999, 999, 999]),
    ],
)
def test_a_coupon_lasts_as_long_as_it_says(
    client: Any, stripe_sim: Simulator, terms: dict[str, Any], amounts: list[int]
) -> None:
    made = client.v1.coupons.create(terms)
    subscription = subscribe(client, discounts=[{"coupon": made.id}])
    assert subscription.status == "active"
    for _ in range(3):
        stripe_sim.advance(days=31)
    assert paid(client, subscription.customer) == amounts
    assert client.v1.coupons.retrieve(made.id).times_redeemed == 1
    after = client.v1.subscriptions.retrieve(subscription.id, {"expand": ["discounts"]})
    lasts = terms["duration"] == "forever"
    assert [d.source.coupon for d in after.discounts] == ([made.id] if lasts else [])
    assert len(stripe_sim.events("customer.discount.deleted")) == (0 if lasts else 1)


def test_an_invoice_says_what_was_taken_off_which_line(client: Any) -> None:
    first, second = new_price(client, unit_amount=1_000), new_price(client, unit_amount=500)
    made = coupon(client, percent_off=10, duration="forever")
    off = client.v1.coupons.create({"amount_off": 350, "currency": "eur", "duration": "forever"})
    subscription = subscribe(
        client,
        items=[{"price": first.id}, {"price": second.id}],
        discounts=[{"coupon": made.id}, {"coupon": off.id}],
        expand=["latest_invoice.discounts.source.coupon", "latest_invoice.total_discount_amounts"],
    )
    invoice = subscription.latest_invoice
    assert (invoice.subtotal, invoice.total, invoice.amount_paid) == (1_500, 1_000, 1_000)
    assert [d.source.coupon.id for d in invoice.discounts] == [made.id, off.id]
    assert [d.amount for d in invoice.total_discount_amounts] == [150, 350]
    named = [d.id for d in invoice.discounts]
    assert [d.discount for d in invoice.total_discount_amounts] == named
    lines = [(line.amount, [d.amount for d in line.discount_amounts]) for line in invoice.lines]
    assert lines == [(1_000, [100, 233]), (500, [50, 117])]


def test_what_is_rounded_away_of_one_amount_goes_to_the_next() -> None:
    off: dict[str, Any] = {"percent_off": None, "amount_off": 100}
    assert taken([off], [Part(1), Part(1), Part(1)]) == [[1], [1], [1]]
    assert taken([off], [Part(500), Part(500), Part(500)]) == [[33], [33], [34]]
    assert taken([off], [Part(-500), Part(60)]) == [[0], [60]]
    only = {**off, "applies_to": {"products": ["b"]}}
    assert taken([only], [Part(500, "a"), Part(500, "b")]) == [[0], [100]]
    assert taken([], [Part(5)]) == [[]]


def test_a_coupon_may_be_for_some_products(client: Any) -> None:
    first, second = new_price(client), new_price(client, unit_amount=500)
    made = coupon(client, percent_off=100, applies_to={"products": [second.product]})
    subscription = subscribe(
        client,
        items=[{"price": first.id}, {"price": second.id}],
        discounts=[{"coupon": made.id}],
        expand=["latest_invoice"],
    )
    assert subscription.latest_invoice.amount_paid == 999
    shown = client.v1.coupons.retrieve(made.id, {"expand": ["applies_to"]})
    assert shown.applies_to.products == [second.product]


def test_a_plan_is_prorated_at_its_discounted_price(client: Any, stripe_sim: Simulator) -> None:
    small, big = new_price(client, unit_amount=1_000), new_price(client, unit_amount=3_000)
    made = coupon(client, percent_off=50, duration="forever")
    subscription = subscribe(client, price=small.id, discounts=[{"coupon": made.id}])
    stripe_sim.advance(days=15)
    changed = client.v1.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": subscription.items.data[0].id, "price": big.id}],
            "proration_behavior": "always_invoice",
            "expand": ["latest_invoice"],
        },
    )
    invoice = changed.latest_invoice
    assert [line.amount for line in invoice.lines.data] == [-250, 750]
    assert [line.discount_amounts for line in invoice.lines.data] == [[], []]
    assert invoice.amount_paid == 500


def test_discounts_of_a_running_subscription(client: Any, stripe_sim: Simulator) -> None:
    first, second = coupon(client), coupon(client, duration="forever", percent_off=50)
    subscription = subscribe(client, items=[{"price": new_price(client).id, "quantity": 2}])
    changed = client.v1.subscriptions.update(
        subscription.id, {"discounts": [{"coupon": second.id}]}
    )
    (kept,) = changed.discounts
    both = client.v1.subscriptions.update(
        subscription.id, {"discounts": [{"discount": kept}, {"coupon": first.id}]}
    )
    assert both.discounts[0] == kept
    assert len(both.discounts) == 2
    told = stripe_sim.events("customer.discount.created")
    assert [e["data"]["object"]["subscription"] for e in told] == [subscription.id] * 2
    gone = client.v1.subscriptions.delete_discount(subscription.id)
    assert (gone.id, gone.deleted) == (kept, True)
    emptied = client.v1.subscriptions.update(subscription.id, {"discounts": ""})
    assert emptied.discounts == []
    assert len(stripe_sim.events("customer.discount.deleted")) == 2
    with pytest.raises(stripe.InvalidRequestError, match="No active discount"):
        client.v1.subscriptions.delete_discount(subscription.id)
    assert client.v1.coupons.retrieve(second.id).times_redeemed == 1


@pytest.mark.parametrize(
    ("terms", "param"),
    [
        ({}, "percent_off"),
        ({"percent_off": 10, "amount_off": 10, "currency": "eur"}, "percent_off"),
        ({"percent_off": 101}, "percent_off"),
        ({"amount_off": 10}, "currency"),
        ({"percent_off": 10, "duration": "repeating"}, "duration_in_months"),
        ({"percent_off": 10, "duration_in_months": 3}, "duration_in_months"),
        ({"percent_off": 10, "id": "TWICE"}, "id"),
        ({"percent_off": 10, "applies_to": {"products": ["prod_none"]}}, "applies_to[products]"),
    ],
)
def test_a_coupon_that_makes_no_sense(client: Any, terms: dict[str, Any], param: str) -> None:
    coupon(client, id="TWICE")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.coupons.create(terms)
    assert caught.value.param == param


def test_a_coupon_is_over(client: Any, stripe_sim: Simulator) -> None:
    once = coupon(client, max_redemptions=1)
    soon = coupon(client, redeem_by=int((stripe_sim.now + timedelta(days=1)).timestamp()))
    dollars = client.v1.coupons.create({"amount_off": 5, "currency": "usd", "duration": "once"})
    subscribe(client, discounts=[{"coupon": once.id}])
    stripe_sim.advance(days=2)
    for made, code in ((once, "coupon_expired"), (soon, "coupon_expired"), (dollars, None)):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            subscribe(client, discounts=[{"coupon": made.id}])
        assert caught.value.code == code
        assert caught.value.param == "discounts[0][coupon]"
    with pytest.raises(stripe.InvalidRequestError, match="Coupon expired"):
        promotion(client, soon)
    renamed = client.v1.coupons.update(dollars.id, {"name": "Five", "metadata": {"a": "b"}})
    assert (renamed.name, renamed.metadata.a) == ("Five", "b")
    assert client.v1.coupons.delete(dollars.id).deleted
    assert {c.id for c in client.v1.coupons.list().data} == {once.id, soon.id}


def test_restrictions_of_a_promotion_code(client: Any, stripe_sim: Simulator) -> None:
    made = coupon(client, percent_off=10)
    ada, eve, price = new_payer(client), new_payer(client), new_price(client)
    least = {"minimum_amount": 1_000, "minimum_amount_currency": "eur"}
    tomorrow = int((stripe_sim.now + timedelta(days=1)).timestamp())
    codes = {
        "mine": promotion(client, made, customer=ada.id),
        "first": promotion(client, made, restrictions={"first_time_transaction": True}),
        "big": promotion(client, made, restrictions=least),
        "dollars": promotion(
            client, made, restrictions={**least, "minimum_amount_currency": "usd"}
        ),
        "soon": promotion(client, made, expires_at=tomorrow),
        "one": promotion(client, made, max_redemptions=1),
    }

    def redeem(customer: Any, name: str, quantity: int = 1) -> Any:
        return client.v1.subscriptions.create(
            {
                "customer": customer.id,
                "items": [{"price": price.id, "quantity": quantity}],
                "discounts": [{"promotion_code": codes[name].id}],
            }
        )

    for name in ("first", "one", "mine", "soon"):
        assert redeem(ada, name).status == "active"
    assert redeem(ada, "big", quantity=2).status == "active"
    stripe_sim.advance(days=2)
    for name, customer, message, code in (
        ("mine", eve, "not associated with this customer", None),
        ("first", ada, "has prior transactions", "promotion_code_customer_not_first_time"),
        ("big", eve, "minimum amount", None),
        ("dollars", eve, "minimum amount", None),
        ("soon", eve, "not active", "coupon_expired"),
        ("one", eve, "not active", "coupon_expired"),
    ):
        with pytest.raises(stripe.InvalidRequestError, match=message) as caught:
            redeem(customer, name)
        assert (caught.value.param, caught.value.code) == ("discounts[0][promotion_code]", code)
    assert client.v1.promotion_codes.retrieve(codes["one"].id).times_redeemed == 1


def test_codes_are_found_by_their_word(client: Any) -> None:
    made = coupon(client)
    spring = promotion(client, made, code="SPRING", metadata={"a": "b"})
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        promotion(client, made, code="spring")
    assert [c.id for c in client.v1.promotion_codes.list({"code": "spring"}).data] == [spring.id]
    assert client.v1.promotion_codes.list({"coupon": "none"}).data == []
    closed = client.v1.promotion_codes.update(
        spring.id, {"active": "false", "metadata": {"a": ""}, "expand": ["promotion.coupon"]}
    )
    assert (closed.active, closed.metadata.to_dict(), closed.promotion.coupon.id) == (
        False,
        {},
        made.id,
    )
    assert client.v1.promotion_codes.list({"active": True}).data == []
    again = promotion(client, made, code="SPRING")
    assert again.id != spring.id
    for change in (
        {"expires_at": 1_000_000},
        {"restrictions": {"minimum_amount": 5}},
        {"customer": "cus_none"},
    ):
        with pytest.raises(stripe.InvalidRequestError):
            promotion(client, made, **change)


def test_a_code_ends_with_its_coupon(client: Any, stripe_sim: Simulator) -> None:
    soon = int((stripe_sim.now + timedelta(days=1)).timestamp())
    coupons = [coupon(client), coupon(client, redeem_by=soon), coupon(client, max_redemptions=1)]
    codes = [promotion(client, one) for one in coupons]
    subscription = subscribe(client, discounts=[{"coupon": coupons[2].id}], trial_period_days=7)
    client.v1.subscriptions.update(
        subscription.id,
        {"discounts": [{"discount": subscription.discounts[0]}, {"coupon": coupons[0].id}]},
    )
    client.v1.coupons.delete(coupons[0].id)
    stripe_sim.advance(days=2)
    for code in codes:
        assert not client.v1.promotion_codes.retrieve(code.id).active
        with pytest.raises(stripe.InvalidRequestError, match="is over"):
            client.v1.promotion_codes.update(code.id, {"active": True})
    told = stripe_sim.events("promotion_code.updated")
    assert [e["data"]["object"]["id"] for e in told] == [codes[2].id, codes[0].id, codes[1].id]
    wanted = {"expand": ["discounts.source.coupon"]}
    kept = client.v1.subscriptions.retrieve(subscription.id, wanted).discounts
    assert [(d.source.coupon.id, d.source.coupon.valid) for d in kept] == [
        (coupons[2].id, False),
        (coupons[0].id, False),
    ]
    stripe_sim.advance(days=6)  # the trial is over: both take 25 %, one after the other
    assert paid(client, subscription.customer) == [0, 562]


def test_a_call_names_one_thing_for_each_discount(client: Any) -> None:
    made = coupon(client)
    code = promotion(client, made)
    for given, match in (
        ({"coupon": made.id, "promotion_code": code.id}, "only specify one"),
        ({}, "Missing required"),
        ({"coupon": "none"}, "No such coupon"),
        ({"promotion_code": "promo_none"}, "No such promotion code"),
    ):
        with pytest.raises(stripe.InvalidRequestError, match=match):
            subscribe(client, discounts=[given or {"coupon": ""}])


@pytest.mark.parametrize("mode", ["payment", "subscription"])
def test_a_session_with_a_discount(client: Any, stripe_sim: Simulator, mode: str) -> None:
    made = coupon(client, percent_off=20)
    session = new_session(client, mode=mode, discounts=[{"coupon": made.id}])
    assert (session.amount_subtotal, session.amount_total) == (999, 799)
    assert session.total_details.amount_discount == 200
    assert session.discounts[0].coupon == made.id
    assert client.v1.coupons.retrieve(made.id).times_redeemed == 0
    stripe_sim.pay_checkout(session.id)
    assert client.v1.coupons.retrieve(made.id).times_redeemed == 1
    done = client.v1.checkout.sessions.retrieve(
        session.id, {"expand": ["line_items", "payment_intent", "invoice.total_discount_amounts"]}
    )
    (row,) = done.line_items.data
    assert (row.amount_subtotal, row.amount_discount, row.amount_total) == (999, 200, 799)
    if mode == "payment":
        assert done.payment_intent.amount_received == 799
    else:
        assert (done.invoice.amount_paid, done.invoice.total_discount_amounts[0].amount) == (
            799,
            200,
        )


def test_a_checkout_keeps_the_coupon_that_it_began_with(client: Any, stripe_sim: Simulator) -> None:
    made = coupon(client, percent_off=20, duration="forever")
    session = new_session(client, discounts=[{"coupon": made.id}])
    client.v1.coupons.delete(made.id)
    done = stripe_sim.pay_checkout(session.id)
    stripe_sim.advance(days=31)
    assert paid(client, done["customer"]) == [799, 799]
    wanted = {"expand": ["discounts.source.coupon"]}
    (kept,) = client.v1.subscriptions.retrieve(done["subscription"], wanted).discounts
    assert (kept.source.coupon.percent_off, kept.source.coupon.valid) == (20, False)


def test_all_of_it_can_be_taken_off(client: Any, stripe_sim: Simulator) -> None:
    made = coupon(client, percent_off=100)
    session = new_session(client, mode="payment", discounts=[{"coupon": made.id}])
    paid_for = stripe_sim.pay_checkout(session.id)
    assert (paid_for["payment_status"], paid_for["payment_intent"]) == ("no_payment_required", None)


def test_a_customer_types_a_code(client: Any, stripe_sim: Simulator) -> None:
    made = coupon(client, percent_off=50)
    promotion(client, made, code="HALF", restrictions={"first_time_transaction": True})
    session = new_session(client, allow_promotion_codes=True)
    shown = httpx.post(session.url, data={"action": "apply", "promotion_code": "nothing"})
    assert (shown.status_code, "invalid" in shown.text) == (400, True)
    shown = httpx.post(session.url, data={"action": "apply", "promotion_code": " half "})
    assert shown.status_code == 200
    assert "-€5.00" in shown.text  # half of 9.99, rounded up
    assert "Discount (HALF)" in shown.text
    assert "€4.99" in shown.text
    shown = httpx.post(session.url, data={"action": "apply", "promotion_code": ""})
    assert "id='discount'" not in shown.text
    done = stripe_sim.pay_checkout(session.id, promotion_code="half")
    assert done["amount_total"] == 499
    discount = stripe_sim.events("customer.discount.created")[0]["data"]["object"]
    assert (discount["checkout_session"], discount["subscription"]) == (
        session.id,
        done["subscription"],
    )
    again = new_session(client, allow_promotion_codes=True, customer=done["customer"])
    with pytest.raises(ApiError, match="prior transactions"):
        stripe_sim.pay_checkout(again.id, promotion_code="HALF")
    some = client.v1.coupons.create({"amount_off": 960, "currency": "eur", "duration": "once"})
    code = promotion(client, some, code="NEARLY", restrictions={"first_time_transaction": True})
    order = new_session(client, mode="payment", allow_promotion_codes=True)
    with pytest.raises(ApiError, match=r"at least €0\.50 eur"):
        stripe_sim.pay_checkout(order.id, promotion_code="NEARLY")
    assert stripe_sim.pay_checkout(order.id)["amount_total"] == 999
    with pytest.raises(stripe.InvalidRequestError) as caught:
        new_session(client, discounts=[{"promotion_code": code.id}])
    assert caught.value.code == "promotion_code_customer_missing_first_time"
    plain = new_session(client)
    with pytest.raises(ApiError, match="takes no promotion codes"):
        stripe_sim.pay_checkout(plain.id, promotion_code="HALF")
    with pytest.raises(stripe.InvalidRequestError, match="only specify one"):
        new_session(client, allow_promotion_codes=True, discounts=[{"coupon": made.id}])
