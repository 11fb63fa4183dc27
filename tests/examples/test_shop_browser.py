"""The shop in a real browser: the fields for cards, a decline, a bank that asks, a 402."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.examples.browsing import assert_readable, pay, picture
from tests.examples.conftest import Serve

GOOD, DECLINED, SECURE = "4242424242424242", "4000000000000002", "4000002760003184"


def type_card(page: Page, number: str) -> None:
    page.get_by_label("Card number").fill(number)
    page.get_by_label("Expiration date").fill("12 / 34")
    page.get_by_label("Security code").fill("123")


def come_in(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Come in").click()
    expect(page.get_by_label("Shelf")).to_be_visible()


@pytest.mark.timeout(300)
def test_the_whole_story_by_clicking(serve: Serve, page: Page) -> None:
    shop = serve("shop")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_viewport_size({"width": 760, "height": 900})
    page.goto(shop)
    page.get_by_label("Your name").fill("Ada")
    picture(page, "shop_sign_up")
    page.get_by_role("button", name="Come in").click()
    news, orders = page.get_by_label("News"), page.get_by_role("table", name="Your orders")

    page.get_by_role("button", name="Add: Espresso cup").click()
    page.get_by_role("button", name="One more: Espresso cup").click()
    page.get_by_role("button", name="Add: Teapot").click()
    expect(page.locator("#about")).to_have_text("€60.50")
    picture(page, "shop_basket")

    page.get_by_role("button", name="Check out").click()
    expect(page.locator("#amount")).to_have_text("€60.50")
    type_card(page, DECLINED)
    page.get_by_role("button", name="Pay", exact=True).click()
    expect(page.locator("#trouble")).to_contain_text("declined")
    expect(orders).to_contain_text("failed")
    picture(page, "shop_declined")
    type_card(page, GOOD)
    page.get_by_role("button", name="Pay", exact=True).click()
    expect(news).to_have_text("Thank you! It is paid, and on its way to you.")
    expect(orders).to_contain_text("paid and sent")
    expect(page.locator("#payment")).to_be_hidden()
    picture(page, "shop_paid")

    page.get_by_role("button", name="Add: Breakfast bowl").click()
    page.get_by_role("button", name="Check out").click()
    type_card(page, SECURE)
    page.get_by_role("button", name="Pay", exact=True).click()
    bank = page.frame_locator("iframe[title='3-D Secure']")
    answer = re.compile("complete|authorise|confirm", re.IGNORECASE)
    bank.get_by_role("button", name=answer).first.click()
    expect(page.locator("#payment")).to_be_hidden()
    expect(orders.get_by_text("paid and sent")).to_have_count(2)

    page.get_by_role("button", name="Add: Raku vase").click()
    page.get_by_role("button", name="Check out").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("#why")).to_have_text("The Raku vase is for members of the club.")
    picture(page, "shop_402")
    dialog.get_by_role("button", name="Join").click()
    pay(page, "Subscribe")
    page.wait_for_url(f"{shop}/*")
    expect(page.locator("#club")).to_be_visible()

    page.get_by_role("button", name="Add: Raku vase").click()
    page.get_by_role("button", name="Check out").click()
    expect(page.locator("#amount")).to_have_text("€80.10")
    page.get_by_role("button", name="Pay on Stripe's page").click()
    pay(page, "Pay")
    page.wait_for_url(f"{shop}/*")
    expect(orders.get_by_text("paid and sent")).to_have_count(3)
    picture(page, "shop_club")
    assert errors == []


def test_it_can_be_read_in_the_dark_and_on_a_telephone(serve: Serve, page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 844})
    come_in(page, serve("shop"))
    page.get_by_role("button", name="Add: Teapot").click()
    page.get_by_role("button", name="Check out").click()
    expect(page.get_by_label("Card number")).to_be_visible()
    picture(page, "shop_dark")
    assert_readable(page, "body", "#about", "#check-out", "#pay", "#what", ".price", ".badge")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
