"""What the browser tests of the examples share: pictures, Stripe's hosted page, contrasts."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
PATIENCE_MS = 30_000
POLL_MS = 300
SCREENSHOTS = os.environ.get("GATEKEEPER_TEST_SCREENSHOTS") == "1"


@contextlib.contextmanager
def somebody(browser: Browser, **looks: Any) -> Iterator[Page]:
    """A page of somebody who was never here before; it looks again often, where it does."""
    context = browser.new_context(**looks)
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(f"window.pollMs = {POLL_MS}")
    yield context.new_page()
    context.close()


def picture(page: Page, name: str) -> None:
    """Take a picture for the documentation, if GATEKEEPER_TEST_SCREENSHOTS=1 asks for that."""
    if SCREENSHOTS:
        IMAGES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=IMAGES / f"{name}.png", animations="disabled")


def pay(page: Page, button: str) -> None:
    """Fill in the simulator's hosted page."""
    expect(page.get_by_text("Simulated payments")).to_be_visible()
    page.get_by_label("Email").fill("ada@example.com")
    page.get_by_label("Card number").fill("4242 4242 4242 4242")
    page.get_by_label("Expiry").fill("12 / 34")
    page.get_by_label("CVC").fill("123")
    page.get_by_role("button", name=button).click()


def assert_readable(page: Page, *selectors: str) -> None:
    """Text stands out from what is behind it: WCAG 2.2, 1.4.3 asks for a contrast of 4.5 to 1."""
    for selector in selectors:
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
