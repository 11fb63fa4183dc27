"""The demo in a real browser: every button of the story, and the pages of the simulator.

With GATEKEEPER_TEST_SCREENSHOTS=1 the pictures of the documentation are taken anew.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
SCREENSHOTS = os.environ.get("GATEKEEPER_TEST_SCREENSHOTS") == "1"
PATIENCE_MS = 30_000
STOP_SECONDS = 30
BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def demo_url() -> Iterator[str]:
    """The demo, served by `python examples/ai_chat` on a free port."""
    foreign = ("GATEKEEPER_", "STRIPE_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    process = subprocess.Popen(
        [sys.executable, "examples/ai_chat", "--port", "0"],
        cwd=ROOT,
        env=env | {"PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert found is not None, said + (process.stdout.read() if process.poll() else "")
        yield found.group()
    finally:
        process.terminate()
        process.communicate(timeout=STOP_SECONDS)


@pytest.fixture
def page(chromium_path: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path, args=BROWSER_ARGUMENTS, headless=True
        )
        context = browser.new_context(viewport={"width": 760, "height": 620})
        context.set_default_timeout(PATIENCE_MS)
        yield context.new_page()
        browser.close()


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """`expect` asks again until something is so: how long at most."""
    expect.set_options(timeout=PATIENCE_MS)
    yield
    expect.set_options(timeout=5_000)


def picture(page: Page, name: str) -> None:
    """Take a picture for the documentation, if that is asked for."""
    if SCREENSHOTS:
        IMAGES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=IMAGES / f"ai_chat_{name}.png", animations="disabled")


def send(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.get_by_role("button", name="Send").click()


def pay(page: Page, button: str) -> None:
    """Fill in the simulator's hosted page."""
    expect(page.get_by_text("Simulated payments")).to_be_visible()
    page.get_by_label("Email").fill("ada@example.com")
    page.get_by_label("Card number").fill("4242 4242 4242 4242")
    page.get_by_label("Expiry").fill("12 / 34")
    page.get_by_label("CVC").fill("123")
    page.get_by_role("button", name=button).click()


@pytest.mark.timeout(300)
def test_the_whole_story_by_clicking(demo_url: str, page: Page) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    balance, log = page.get_by_role("status"), page.get_by_label("Conversation")

    page.goto(demo_url)
    page.get_by_label("Your name").fill("Ada")
    picture(page, "sign_up")
    page.get_by_role("button", name="Sign up").click()
    expect(balance).to_have_text("Free 5 credits")

    for left in (4, 3, 2, 1, 0):
        send(page, f"Question {5 - left}")
        expect(log).to_contain_text(f"You said: Question {5 - left}")
        expect(balance).to_have_text(f"Free {left} {'credit' if left == 1 else 'credits'}")
    picture(page, "free")

    send(page, "Question 6")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("You are out of credits")
    expect(dialog.locator("#why")).to_have_text(re.compile(r"credits"))
    picture(page, "402")
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
    picture(page, "pro")

    page.get_by_role("button", name="100 credits").click()
    pay(page, "Pay")
    page.wait_for_url(f"{demo_url}/*")
    expect(balance).to_have_text("Pro 1,099 credits")

    page.get_by_role("button", name="A month later").click()
    expect(balance).to_have_text("Pro 1,200 credits")  # 1,000 new, 100 rolled over, 100 bought
    expect(log).to_contain_text("It is ")
    picture(page, "a_month_later")

    page.get_by_role("button", name="Manage billing").click()
    page.get_by_role("button", name="Cancel plan").click()
    expect(page.get_by_role("button", name="Do not cancel")).to_be_visible()
    picture(page, "portal")
    page.goto(demo_url)
    expect(balance).to_have_text("Pro 1,200 credits")
    page.get_by_role("button", name="A month later").click()
    expect(balance).to_have_text("Free 100 credits")
    expect(log).to_contain_text("You are on Free now.")
    expect(page.get_by_role("button", name="Go Pro")).to_be_visible()
    assert errors == []


def test_it_can_be_read_in_the_dark(demo_url: str, page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(demo_url)
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Sign up").click()
    send(page, "Is it dark in here?")
    expect(page.get_by_label("Conversation")).to_contain_text("You said: Is it dark in here?")
    picture(page, "dark")
    # WCAG 2.2, 1.4.3 asks for a contrast of 4.5 to 1.
    for selector in ("body", "#credits", "#plan", "button.main", "#log .mine", "#portal"):
        assert contrast(page, selector) >= 4.5, selector


def contrast(page: Page, selector: str) -> float:
    """The contrast of an element's text with what lies behind it (WCAG 2.2, relative luminance)."""
    found: list[list[float]] = page.eval_on_selector(
        selector,
        """element => {
            const rgb = (color) => {
                const context = new OffscreenCanvas(1, 1).getContext("2d");
                context.fillStyle = color;
                context.fillRect(0, 0, 1, 1);
                return [...context.getImageData(0, 0, 1, 1).data];
            };
            let behind = element;
            while (behind && rgb(getComputedStyle(behind).backgroundColor)[3] === 0) {
                behind = behind.parentElement;
            }
            return [element, behind].map((one, index) => rgb(
                getComputedStyle(one)[index ? "backgroundColor" : "color"]).slice(0, 3));
        }""",
    )
    lighter, darker = sorted((luminance(color) for color in found), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: list[float]) -> float:
    parts = [part / 255 for part in color]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
