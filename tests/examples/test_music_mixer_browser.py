"""The music mixer in a real browser: the upgrade dialog with the fields for a card in the page."""

import pytest
from playwright.sync_api import Page, expect

from tests.examples.browsing import assert_readable, pay, picture
from tests.examples.conftest import Serve


def fill_in(page: Page, number: str) -> None:
    """The fields of Stripe.js, or of what stands in for it."""
    page.get_by_label("Card number").fill(number)
    page.get_by_label("Expiration date").fill("12 / 40")
    page.get_by_label("Security code").fill("123")


def sign_up(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Sign up").click()


@pytest.mark.timeout(300)
def test_the_whole_story_by_clicking(serve: Serve, page: Page) -> None:
    demo_url = serve("music_mixer")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console",
        lambda said: errors.append(said.text) if "Content Security" in said.text else None,
    )
    left, dialog = page.get_by_role("status"), page.locator("#upgrade")

    page.goto(demo_url)
    page.get_by_label("Your name").fill("Ada")
    picture(page, "music_mixer_sign_up")
    page.get_by_role("button", name="Sign up").click()
    expect(left).to_have_text("Free mix and listen")
    page.get_by_label("voice").fill("90")
    page.get_by_role("button", name="Listen").click()
    expect(page.locator("#note")).to_have_text("Listen.")
    picture(page, "music_mixer_free")

    page.get_by_role("button", name="Export").click()
    expect(dialog).to_contain_text("To export your mix, go Pro.")
    picture(page, "music_mixer_402")
    dialog.get_by_role("button", name="Pay here").click()
    expect(dialog.get_by_role("button", name="Pay €9.99")).to_be_visible()
    fill_in(page, "4000 0000 0000 0002")
    dialog.get_by_role("button", name="Pay €9.99").click()
    expect(dialog.get_by_role("alert").last).to_contain_text("declined")
    picture(page, "music_mixer_declined")
    fill_in(page, "4242 4242 4242 4242")
    dialog.get_by_role("button", name="Pay €9.99").click()
    expect(left).to_have_text("Pro 10 exports, 5 masters")
    expect(page.locator("#note")).to_have_text("Thank you! You are Pro now.")

    page.get_by_role("button", name="Export").click()
    expect(left).to_have_text("Pro 9 exports, 5 masters")
    page.get_by_role("button", name="Master").click()
    expect(left).to_have_text("Pro 9 exports, 4 masters")
    page.get_by_role("button", name="Save project").click()
    expect(page.get_by_label("Projects")).to_contain_text("Mix 1")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").first.click()
    assert download.value.suggested_filename.endswith(".wav")
    picture(page, "music_mixer_pro")

    page.get_by_role("button", name="Change to yearly").click()
    expect(page.locator("#change")).to_contain_text("You pay €90.00 now")
    picture(page, "music_mixer_change")
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.locator("#until")).to_contain_text("Paid yearly; it renews on")
    page.get_by_role("button", name="A month later").click()
    expect(left).to_have_text("Pro 10 exports, 5 masters")
    page.get_by_role("button", name="Change to monthly").click()
    expect(page.locator("#change")).to_contain_text("and nothing until then")
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.locator("#until")).to_contain_text("Paid yearly; monthly from")
    page.get_by_role("button", name="Stay on yearly").click()
    expect(page.locator("#until")).to_contain_text("Paid yearly; it renews on")
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.locator("#until")).to_contain_text("it ends on")
    page.get_by_role("button", name="Do not cancel").click()
    expect(page.locator("#until")).to_contain_text("it renews on")
    assert errors == []


@pytest.mark.timeout(200)
def test_it_is_paid_on_stripes_page_and_read_in_the_dark(serve: Serve, page: Page) -> None:
    demo_url = serve("music_mixer")
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 760})
    sign_up(page, demo_url)
    page.get_by_role("button", name="Go Pro").click()
    page.get_by_label("€99.99 a year").check()
    picture(page, "music_mixer_dark")
    assert_readable(page, "#upgrade-title", "#why", ".choice", "#pay-here", "#not-now")
    page.get_by_role("button", name="Pay on Stripe's page").click()
    pay(page, "Subscribe")
    page.wait_for_url(f"{demo_url}/*")
    expect(page.get_by_role("status")).to_have_text("Pro 10 exports, 5 masters")
    assert page.url == f"{demo_url}/"
    assert_readable(page, "#counts", "#plan", "button.main", "#until")
