"""The whiteboard in a real browser: drawing, the 402, the checkout, and a top-up by itself."""

import pytest
from playwright.sync_api import Page, expect

from tests.examples.browsing import assert_readable, pay, picture
from tests.examples.conftest import Serve


def sign_up(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Sign up").click()


def draw(page: Page, *points: tuple[float, float]) -> None:
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def ask(page: Page, text: str) -> None:
    page.get_by_label("What the AI is to draw").fill(text)
    page.get_by_role("button", name="AI, 5 credits").click()


@pytest.mark.timeout(300)
def test_the_whole_story_by_clicking(serve: Serve, page: Page) -> None:
    demo_url = serve("whiteboard")
    page.set_viewport_size({"width": 900, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console",
        lambda said: errors.append(said.text) if "Content Security" in said.text else None,
    )
    balance, canvas, note = (
        page.get_by_role("status"),
        page.locator("#canvas"),
        page.locator("#note"),
    )

    page.goto(demo_url)
    picture(page, "whiteboard_sign_up")
    sign_up(page, demo_url)
    expect(balance).to_have_text("Free 10 credits")
    draw(page, (0.1, 0.7), (0.3, 0.4), (0.5, 0.7), (0.7, 0.4), (0.9, 0.7))
    page.get_by_role("button", name="amber").click()
    draw(page, (0.1, 0.85), (0.9, 0.85))
    expect(canvas).to_have_attribute("data-strokes", "2")
    for left in (5, 0):
        ask(page, f"flower {left}")
        expect(note).to_have_text(f"Here is flower {left}.")
        expect(balance).to_have_text(f"Free {left} credits")
    expect(canvas).to_have_attribute("data-strokes", "6")
    picture(page, "whiteboard_free")

    ask(page, "one more")
    dialog = page.locator("#upgrade")
    expect(dialog).to_contain_text("You are out of credits.")
    picture(page, "whiteboard_402")
    dialog.get_by_role("button", name="Go Pro").click()
    pay(page, "Subscribe")
    page.wait_for_url(f"{demo_url}/*")
    expect(balance).to_have_text("Pro 100 credits")
    expect(canvas).to_have_attribute("data-strokes", "6")  # the board is still there
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    assert download.value.suggested_filename == "board.svg"

    state = page.locator("#state")
    page.get_by_role("button", name="Turn on").click()
    expect(state).to_have_text("On.")
    for number in range(16):  # as another tab of the same person would
        answer = page.request.post(f"{demo_url}/sketch", data={"text": f"star {number}"})
        assert answer.ok
    expect(balance).to_have_text("Pro 20 credits")
    ask(page, "the last one")
    expect(balance).to_have_text("Pro 65 credits")  # 15 were left: 50 were bought
    heard = page.locator("#heard")
    for event in ("pricing.viewed", "checkout.started", "payment.succeeded"):
        expect(heard).to_contain_text(event)
    picture(page, "whiteboard_pro")

    page.get_by_role("button", name="Cards and invoices").click()
    page.get_by_label("Card number").fill("4000 0027 6000 3184")
    page.get_by_label("Expiry").fill("12 / 34")
    page.get_by_label("CVC").fill("123")
    page.get_by_role("button", name="Use this card").click()
    expect(page.get_by_text("ending in 3184")).to_be_visible()
    page.goto(demo_url)
    for number in range(10):
        answer = page.request.post(f"{demo_url}/sketch", data={"text": f"moon {number}"})
        assert answer.ok
    expect(state).to_have_text("Your bank asks for you.")
    picture(page, "whiteboard_bank")
    page.get_by_role("button", name="Confirm with your bank").click()
    bank = page.frame_locator("iframe[title='3-D Secure']")
    bank.get_by_role("button", name="Complete").click()
    expect(note).to_have_text("Thank you! It is paid.")
    expect(balance).to_have_text("Pro 65 credits")
    expect(state).to_have_text("On.")
    page.get_by_role("button", name="Turn off").click()
    expect(state).to_be_hidden()
    assert errors == []


def test_it_can_be_read_in_the_dark_and_on_a_telephone(serve: Serve, page: Page) -> None:
    demo_url = serve("whiteboard")
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 844})
    sign_up(page, demo_url)
    ask(page, "a galaxy")
    expect(page.locator("#note")).to_have_text("Here is a galaxy.")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    picture(page, "whiteboard_dark")
    assert_readable(page, "body", "#credits", "#plan", "button.main", "#deal", "#portal")
