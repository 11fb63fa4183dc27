"""The AI chat in a real browser: every button of the story, and the pages of the simulator."""

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.examples.browsing import assert_readable, pay, picture
from tests.examples.conftest import Serve


def send(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.get_by_role("button", name="Send").click()


@pytest.mark.timeout(300)
def test_the_whole_story_by_clicking(serve: Serve, page: Page) -> None:
    demo_url = serve("ai_chat")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    balance, log = page.get_by_role("status"), page.get_by_label("Conversation")

    page.goto(demo_url)
    page.get_by_label("Your name").fill("Ada")
    picture(page, "ai_chat_sign_up")
    page.get_by_role("button", name="Sign up").click()
    expect(balance).to_have_text("Free 5 credits")

    for left in (4, 3, 2, 1, 0):
        send(page, f"Question {5 - left}")
        expect(log).to_contain_text(f"You said: Question {5 - left}")
        expect(balance).to_have_text(f"Free {left} {'credit' if left == 1 else 'credits'}")
    expect(page.get_by_label("Warnings")).to_contain_text("You have used all your credits.")
    picture(page, "ai_chat_free")

    send(page, "Question 6")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("You are out of credits")
    expect(dialog.locator("#why")).to_have_text(re.compile(r"credits"))
    picture(page, "ai_chat_402")
    dialog.get_by_role("button", name="Go Pro").click()

    pay(page, "Subscribe")
    page.wait_for_url(f"{demo_url}/*")
    page.evaluate("window.notReloaded = true")
    expect(balance).to_have_text("Pro 1,000 credits")  # the webhook came: the page only asked again
    assert page.evaluate("window.notReloaded")
    assert urlsplit(page.url).query == ""
    expect(page.get_by_role("button", name="Go Pro")).to_have_count(0)
    send(page, "And now?")
    expect(balance).to_have_text("Pro 999 credits")
    expect(page.get_by_label("Warnings")).to_be_empty()
    picture(page, "ai_chat_pro")

    page.get_by_role("tab", name="Usage").click()
    usage = page.get_by_role("tabpanel", name="Usage")
    expect(usage.get_by_role("row")).to_have_count(2)
    expect(usage.get_by_role("row").last).to_contain_text("message6")
    picture(page, "ai_chat_usage")
    page.get_by_role("tab", name="History").click()
    expect(page.get_by_role("tabpanel", name="History").get_by_role("listitem")).to_have_count(6)
    page.get_by_role("tab", name="Billing").click()
    invoice = page.get_by_role("tabpanel", name="Billing").get_by_role("row").last
    expect(invoice).to_contain_text("€9.99paid")
    picture(page, "ai_chat_billing")
    page.get_by_role("tab", name="Chat").click()

    page.get_by_role("button", name="100 credits").click()
    pay(page, "Pay")
    page.wait_for_url(f"{demo_url}/*")
    expect(balance).to_have_text("Pro 1,099 credits")

    page.get_by_role("button", name="A month later").click()
    expect(balance).to_have_text("Pro 1,200 credits")  # 1,000 new, 100 rolled over, 100 bought
    expect(log).to_contain_text("It is ")
    picture(page, "ai_chat_a_month_later")

    page.get_by_role("button", name="Manage billing").click()
    page.get_by_role("button", name="Cancel plan").click()
    expect(page.get_by_role("button", name="Do not cancel")).to_be_visible()
    picture(page, "ai_chat_portal")
    page.goto(demo_url)
    expect(balance).to_have_text("Pro 1,200 credits")
    expect(page.get_by_label("Warnings")).to_contain_text("Your plan ends on")
    page.get_by_role("button", name="A month later").click()
    expect(balance).to_have_text("Free 100 credits")
    expect(log).to_contain_text("You are on Free now.")
    expect(page.get_by_role("button", name="Go Pro")).to_be_visible()
    assert errors == []


def test_it_can_be_read_in_the_dark(serve: Serve, page: Page) -> None:
    demo_url = serve("ai_chat")
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 700})
    page.goto(demo_url)
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Sign up").click()
    send(page, "Is it dark in here?")
    expect(page.get_by_label("Conversation")).to_contain_text("You said: Is it dark in here?")
    picture(page, "ai_chat_dark")
    assert_readable(
        page, "body", "#credits", "#plan", "button.main", "#log .mine", "#portal", "nav button"
    )
