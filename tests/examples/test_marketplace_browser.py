"""The marketplace in a real browser: a seller and a buyer, each in their own."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.examples.browsing import assert_readable, pay, picture, somebody
from tests.examples.conftest import Serve


def sign_up(page: Page, name: str) -> None:
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Sign up").click()


def offer(page: Page, name: str, price: str, currency: str, *, made_to_order: bool = False) -> None:
    fill(page, name, price, currency, made_to_order=made_to_order)
    expect(page.get_by_role("status")).to_contain_text("is for sale")


def fill(page: Page, name: str, price: str, currency: str, *, made_to_order: bool = False) -> None:
    page.get_by_label("What is it?").fill(name)
    page.get_by_label("Price").fill(price)
    page.get_by_label("Currency").select_option(currency)
    page.get_by_label("made to order").set_checked(made_to_order)
    page.get_by_role("button", name="Sell it").click()


@pytest.mark.timeout(300)
def test_the_whole_story_by_clicking(serve: Serve, page: Page) -> None:
    url = serve("marketplace")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    picture(page, "marketplace_sign_up")
    sign_up(page, "Sam")
    page.get_by_role("tab", name="Sell").click()
    picture(page, "marketplace_become_a_seller")
    page.get_by_role("button", name="Go to Stripe").click()
    expect(page.get_by_role("heading", name="Get paid")).to_be_visible()
    picture(page, "marketplace_onboarding")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(f"{url}/*")
    expect(page.get_by_role("heading", name="Put something up for sale")).to_be_visible()
    offer(page, "A blue cup", "20.00", "eur")
    fill(page, "A chair", "400", "usd", made_to_order=True)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Only a workshop")
    picture(page, "marketplace_402")
    dialog.get_by_role("button", name="€9.00 a month").click()
    pay(page, "Subscribe")
    page.wait_for_url(f"{url}/*")
    expect(page.get_by_role("status")).to_contain_text("Your workshop opens")
    expect(page.locator("#plan")).to_be_visible()  # the webhook has come
    offer(page, "A chair", "400", "usd", made_to_order=True)

    browser = page.context.browser
    assert browser is not None
    with somebody(browser, viewport={"width": 760, "height": 620}) as buyer:
        buyer.on("pageerror", lambda error: errors.append(str(error)))
        buyer.goto(url)
        sign_up(buyer, "Ada")
        things, orders = buyer.get_by_label("Things"), buyer.get_by_label("My orders")
        expect(things).to_contain_text("A blue cup")
        buyer.get_by_label("Coupon").fill("NOTHING")
        things.get_by_role("button", name="Buy").first.click()
        expect(buyer.get_by_role("status")).to_contain_text("no such coupon")
        buyer.get_by_label("Coupon").fill("WELCOME")
        picture(buyer, "marketplace_for_sale")
        things.get_by_role("button", name="Buy").first.click()
        pay(buyer, "Pay")
        buyer.wait_for_url(f"{url}/*")
        expect(orders).to_contain_text("€19.00")
        expect(orders).to_contain_text("paid")
        things.get_by_role("button", name="Buy").last.click()
        pay(buyer, "Pay")
        buyer.wait_for_url(f"{url}/*")
        expect(orders).to_contain_text("reserved")
        picture(buyer, "marketplace_orders")

        sales = page.get_by_label("Sales")
        expect(sales).to_contain_text("€18.00 of €19.00")
        page.get_by_role("button", name="Take it on").click()
        expect(sales.get_by_text("reserved")).to_have_count(0)
        expect(orders.get_by_text("reserved")).to_have_count(0)
        expect(page.get_by_label("Report")).to_contain_text("$360.00")
        picture(page, "marketplace_sales")
        sales.get_by_role("button", name="Refund").last.click()
        expect(sales).to_contain_text("€19.00 back")
        expect(orders).to_contain_text("refunded")
        expect(page.get_by_label("Report")).to_contain_text("€0.00")
        page.get_by_role("button", name="My dashboard at Stripe").click()
        expect(page.get_by_role("heading", name="Your money")).to_be_visible()
    assert errors == []
    read_in_the_dark_and_on_a_telephone(browser, url)


def read_in_the_dark_and_on_a_telephone(browser: Browser, url: str) -> None:
    dark = {"color_scheme": "dark", "viewport": {"width": 390, "height": 700}}
    with somebody(browser, **dark) as page:
        page.goto(url)
        sign_up(page, "Eve")
        expect(page.get_by_role("heading", name="For sale")).to_be_visible()
        expect(page.get_by_label("Things")).to_contain_text("A chair")
        picture(page, "marketplace_dark")
        assert_readable(page, "body", "nav button[aria-selected=true]", "#things .soft")
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
