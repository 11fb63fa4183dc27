"""`make demo APP=shop ARGS=--check`: every step, and what is wrong is a failure."""

import re
from pathlib import Path

import pytest

from tests.examples.checking import check, sabotaged

STEPS = [
    "Sign up",
    "A basket of two cups and a teapot costs what the server says",
    "The first card is declined; the order is there to be paid by another",
    "Going on with it is the same payment; the next card is good",
    "Stripe's webhook arrives: paid, and sent",
    "A card whose bank asks: nothing is paid until its holder has answered",
    "A basket that changes takes its payment along",
    "On Stripe's own page instead; the payment in the page is over then",
    "The Raku vase is for the club: a 402",
    "Join the club: the vase, and ten percent off",
    "It broke on the way: refunded in two parts",
]


def test_check_walks_every_step_and_ends_0() -> None:
    done = check("shop")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^\d+\. (.*)$", done.stdout, re.MULTILINE) == STEPS
    assert "stripe   payment_intent.succeeded -> 200" in done.stdout
    assert done.stdout.endswith("All steps are right.\n")


@pytest.mark.long
def test_a_shop_that_prices_wrongly_is_found_out(tmp_path: Path) -> None:
    root = sabotaged(tmp_path, "shop/billing.py", "product.amount_minor * count", "100 * count")
    done = check("shop", root)
    assert done.returncode == 1
    assert "NOT RIGHT" in done.stderr
