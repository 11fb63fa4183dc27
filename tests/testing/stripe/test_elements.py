"""The stand-in for Stripe.js in a real browser: what a page gets is what Stripe.js would give."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from gatekeeper.testing.stripe import ServerThread, Simulator
from tests.testing.stripe.shop import new_payer, new_price

pytestmark = [pytest.mark.timeout(120), pytest.mark.unmeasured]


@pytest.fixture(scope="module")
def host(stripe_sim_server: ServerThread) -> Iterator[str]:
    """A host app of one page, which lets no inline script and no inline style through, as a careful
    one does. It is served, because a page of the open web may not call a loopback address."""
    stripe = stripe_sim_server.url

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # Playwright itself evaluates what it waits for.
            scripts = f"script-src {stripe} 'unsafe-eval'"
            rules = f"default-src 'none'; {scripts}; connect-src {stripe};"
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-security-policy", f"{rules} frame-src {stripe}")
            self.end_headers()
            self.wfile.write(
                f'<h1>Pay</h1><div id="pay"></div><script src="{stripe}/v3/"></script>'.encode()
            )

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def page(browser: Browser, host: str, stripe_sim: Simulator) -> Iterator[Page]:
    """The host's page, with the fields of an Elements group in `#pay` once `show` is called."""
    context = browser.new_context()
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{host}/cart")
    page.evaluate(
        """() => {
            window.heard = [];
            window.show = (options, stripe = {}) => {
                window.stripe = Stripe("pk_test_simulator", stripe);
                window.elements = window.stripe.elements(options);
                const element = window.elements.create("payment");
                for (const name of ["ready", "change", "loaderror"]) {
                    element.on(name, (event) => window.heard.push([name, event]));
                }
                element.mount("#pay");
            };
            window.thrown = async (act) => {
                try { await act(); return null; } catch (error) { return String(error); }
            };
            window.confirmed = () => { window.result = null; window.stripe.confirmPayment({
                elements: window.elements, redirect: "if_required",
            }).then((result) => { window.result = result; }); };
        }"""
    )
    yield page
    context.close()
    assert errors == []


def intent(client: Any, **params: Any) -> Any:
    terms = {"amount": 1_999, "currency": "eur", "payment_method_types": ["card"], **params}
    return client.v1.payment_intents.create(terms)


def show(page: Page, secret: str, **options: Any) -> None:
    page.evaluate("options => show(options)", {"clientSecret": secret, **options})
    page.wait_for_function("heard.some(([name]) => name === 'ready' || name === 'loaderror')")


def fill(page: Page, number: str = "4242424242424242") -> None:
    page.get_by_label("Card number").fill(number)
    page.get_by_label("Expiration date").fill("1234")
    page.get_by_label("Security code").fill("123")


def result(page: Page) -> Any:
    page.wait_for_function("window.result !== null")
    return page.evaluate("window.result")


def test_a_card_pays(client: Any, stripe_sim: Simulator, page: Page) -> None:
    made = intent(client)
    show(page, made.client_secret, appearance={"theme": "night"})
    incomplete = page.evaluate("elements.submit()")["error"]
    assert (incomplete["type"], incomplete["code"]) == ("validation_error", "incomplete_number")
    expect(page.get_by_role("alert")).to_have_text("Your card number is incomplete.")
    expect(page.get_by_label("Card number")).to_be_focused()
    fill(page)
    expect(page.get_by_label("Card number")).to_have_value("4242 4242 4242 4242")
    expect(page.get_by_label("Expiration date")).to_have_value("12 / 34")
    expect(page.get_by_role("alert")).to_have_count(0)
    heard = page.evaluate("heard")
    assert [event["complete"] for name, event in heard if name == "change"] == [False, False, True]
    assert heard[-1][1]["value"] == {"type": "card"}
    assert page.evaluate("elements.submit()") == {"selectedPaymentMethod": "card"}
    page.evaluate("confirmed()")
    done = result(page)["paymentIntent"]
    assert (done["status"], done["amount"]) == ("succeeded", 1_999)
    assert "metadata" not in done
    stored = client.v1.payment_intents.retrieve(made.id, {"expand": ["latest_charge"]})
    assert stored.latest_charge.billing_details.address.country == "IE"
    again = page.evaluate("secret => stripe.retrievePaymentIntent(secret)", made.client_secret)
    assert again["paymentIntent"]["id"] == made.id


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        ("4000000000000002", "card_declined", "Your card was declined."),
        ("4000000000009995", "card_declined", "Your card has insufficient funds."),
        ("4000000000000069", "expired_card", "Your card has expired."),
        ("4222222222222220", "incorrect_number", "Your card number is incorrect."),
    ],
)
def test_a_card_is_declined_and_another_pays(
    client: Any, page: Page, number: str, code: str, message: str
) -> None:
    made = intent(client)
    show(page, made.client_secret)
    fill(page, number)
    page.evaluate("confirmed()")
    error = result(page)["error"]
    assert (error["type"], error["code"], error["message"]) == ("card_error", code, message)
    if code != "incorrect_number":
        assert error["payment_intent"]["status"] == "requires_payment_method"
        assert "metadata" not in error["payment_intent"]
    fill(page)
    page.evaluate("confirmed()")
    assert result(page)["paymentIntent"]["status"] == "succeeded"


@pytest.mark.parametrize("answer", ["Complete", "Fail"])
def test_the_bank_asks(client: Any, page: Page, answer: str) -> None:
    made = intent(client)
    show(page, made.client_secret)
    fill(page, "4000002760003184")
    page.evaluate("confirmed()")
    bank = page.frame_locator("iframe[title='3-D Secure']")
    expect(bank.get_by_text("Your bank asks")).to_contain_text("€19.99")
    bank.get_by_role("button", name=answer).click()
    got = result(page)
    expect(page.locator("iframe")).to_have_count(0)
    if answer == "Complete":
        assert got["paymentIntent"]["status"] == "succeeded"
    else:
        assert got["error"]["code"] == "payment_intent_authentication_failure"
        assert got["error"]["payment_intent"]["status"] == "requires_payment_method"


def test_the_page_is_left_for_the_return_url(client: Any, host: str, page: Page) -> None:
    made, back = intent(client), f"{host}/done"
    show(page, made.client_secret)
    fill(page)
    refused = page.evaluate("thrown(() => stripe.confirmPayment({elements}))")
    assert refused.startswith("IntegrationError: stripe.confirmPayment(): the confirmParams")
    page.evaluate(
        "back => { stripe.confirmPayment({elements, confirmParams: {return_url: back}}) }",
        f"{back}?order=7",
    )
    page.wait_for_url(f"{back}*")
    assert page.url == (
        f"{back}?order=7&payment_intent={made.id}&payment_intent_client_secret="
        f"{made.client_secret}&redirect_status=succeeded"
    )


def test_a_debit_is_on_its_way(client: Any, page: Page) -> None:
    made = intent(client, payment_method_types=["card", "sepa_debit"])
    show(page, made.client_secret)
    page.get_by_label("SEPA Debit").check()
    expect(page.get_by_label("Card number")).to_be_hidden()
    assert page.evaluate("elements.submit()")["error"]["code"] == "incomplete_iban"
    page.get_by_label("IBAN").fill("DE89 3704 0044 0532 0130 00")
    assert page.evaluate("elements.submit()") == {"selectedPaymentMethod": "sepa_debit"}
    page.evaluate("confirmed()")
    assert result(page)["paymentIntent"]["status"] == "processing"


def test_what_is_typed_before_the_intent_is_known_stays(client: Any, page: Page) -> None:
    made = intent(client, payment_method_types=["card", "sepa_debit"])
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/v1/payment_intents/*", hold)
    with page.expect_request("**/v1/payment_intents/*"):
        page.evaluate("secret => show({clientSecret: secret})", made.client_secret)
    fill(page)
    expect(page.get_by_label("SEPA Debit")).to_have_count(0)
    held[0].continue_()
    expect(page.get_by_label("SEPA Debit")).to_be_visible()
    expect(page.get_by_label("Card number")).to_have_value("4242 4242 4242 4242")
    assert page.evaluate("elements.submit()") == {"selectedPaymentMethod": "card"}


def test_a_card_is_kept_for_later(client: Any, page: Page) -> None:
    customer = client.v1.customers.create({})
    made = client.v1.setup_intents.create(
        {"customer": customer.id, "payment_method_types": ["card"]}
    )
    show(page, made.client_secret)
    fill(page, "4000000000000002")
    confirm = """() => { window.result = null; stripe.confirmSetup({
        elements, redirect: "if_required", confirmParams: {return_url: "https://host.test/"},
    }).then((result) => { window.result = result; }) }"""
    page.evaluate(confirm)
    error = result(page)["error"]
    assert (error["code"], error["setup_intent"]["id"]) == ("card_declined", made.id)
    fill(page, "4000002500003155")
    page.evaluate(confirm)
    bank = page.frame_locator("iframe[title='3-D Secure']")
    bank.get_by_role("button", name="Complete").click()
    assert result(page)["setupIntent"]["status"] == "succeeded"
    assert client.v1.customers.payment_methods.list(customer.id).data[0].card.last4 == "3155"


def test_a_first_invoice_is_paid_in_the_page(client: Any, page: Page) -> None:
    customer = client.v1.customers.create({})
    subscription = client.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": new_price(client).id}],
            "payment_behavior": "default_incomplete",
            "payment_settings": {"save_default_payment_method": "on_subscription"},
            "expand": ["latest_invoice.confirmation_secret"],
        }
    )
    assert subscription.status == "incomplete"
    # Fields first, the intent later: as hosts do who create it when somebody presses the button.
    page.evaluate("show({mode: 'subscription', amount: 999, currency: 'eur'})")
    fill(page)
    secret = subscription.latest_invoice.confirmation_secret.client_secret
    confirm = """secret => { window.result = null; return thrown(() => stripe.confirmPayment({
        elements, clientSecret: secret, redirect: "if_required",
    }).then((result) => { window.result = result; })) }"""
    refused = page.evaluate(confirm, secret)
    assert (
        refused
        == "IntegrationError: elements.submit() must be called before stripe.confirmPayment()."
    )
    page.evaluate("elements.submit()")
    assert page.evaluate(confirm, secret) is None
    assert result(page)["paymentIntent"]["status"] == "succeeded"
    assert client.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_what_a_server_began_is_finished_in_the_page(client: Any, page: Page) -> None:
    customer = new_payer(client)
    made = intent(
        client,
        customer=customer.id,
        payment_method="pm_card_authenticationRequired",
        confirm=True,
    )
    page.evaluate("() => { window.stripe = Stripe('pk_test_simulator'); window.result = null }")
    page.evaluate(
        """secret => { stripe.handleNextAction({clientSecret: secret})
            .then((result) => { window.result = result; }) }""",
        made.client_secret,
    )
    page.frame_locator("iframe").get_by_role("button", name="Complete").click()
    assert result(page)["paymentIntent"]["status"] == "succeeded"


def test_the_older_card_element(client: Any, page: Page) -> None:
    made, other = intent(client), intent(client)
    page.evaluate(
        """() => {
            window.stripe = Stripe("pk_test_simulator");
            window.group = stripe.elements();
            window.card = group.create("card");
            card.mount(document.getElementById("pay"));
        }"""
    )
    fill(page)
    made_of_it = page.evaluate(
        "stripe.createPaymentMethod({type: 'card', card, billing_details: {name: 'Ada'}})"
    )
    assert made_of_it["paymentMethod"]["billing_details"]["name"] == "Ada"
    done = page.evaluate(
        "secret => stripe.confirmCardPayment(secret, {payment_method: {card}})",
        made.client_secret,
    )
    assert done["paymentIntent"]["status"] == "succeeded"
    done = page.evaluate(
        "([secret, saved]) => stripe.confirmCardPayment(secret, {payment_method: saved})",
        [other.client_secret, "pm_card_visa"],
    )
    assert done["paymentIntent"]["status"] == "succeeded"
    page.evaluate("card.destroy()")
    expect(page.get_by_label("Card number")).to_have_count(0)


def test_a_seller_s_own_payment(client: Any, stripe_sim: Simulator, page: Page) -> None:
    seller = client.v1.accounts.create({})
    stripe_sim.onboard(seller.id)
    made = client.v1.payment_intents.create(
        {"amount": 700, "currency": "eur", "application_fee_amount": 70},
        {"stripe_account": seller.id},
    )
    page.evaluate(
        "([secret, seller]) => show({clientSecret: secret}, {stripeAccount: seller})",
        [made.client_secret, seller.id],
    )
    fill(page, "4000002760003184")
    page.evaluate("confirmed()")
    page.frame_locator("iframe").get_by_role("button", name="Complete").click()
    assert result(page)["paymentIntent"]["status"] == "succeeded"


def test_mistakes_of_the_host(client: Any, page: Page) -> None:
    made = intent(client)
    for act, said in (
        ("Stripe()", "Missing value for Stripe()"),
        ("Stripe('sk_test_simulator')", "should not use your secret key"),
        ("Stripe('pk_test_simulator').elements({clientSecret: 'nonsense'})", "Invalid value"),
        ("Stripe('pk_test_simulator').elements().create('payment')", "clientSecret or mode"),
        ("Stripe('pk_test_simulator').elements().create('address')", "no Element of type"),
        ("Stripe('pk_test_simulator').elements().create('card').mount('#none')", "#none"),
        ("Stripe('pk_test_simulator').retrieveSetupIntent('pi_1_secret_2')", "Invalid value"),
    ):
        message = page.evaluate(f"thrown(() => {act})")
        assert message.startswith("IntegrationError: "), act
        assert said in message, message
    show(page, made.client_secret.replace("_secret_", "_secret_x"))
    name, event = page.evaluate("heard[0]")
    assert (name, event["error"]["code"]) == ("loaderror", "resource_missing")
    wrong = page.evaluate(
        "secret => Stripe('pk_test_wrong').retrievePaymentIntent(secret)", "pi_1_secret_2"
    )
    assert wrong["error"]["message"].startswith("Invalid API Key provided")
