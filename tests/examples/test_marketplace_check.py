"""`make demo APP=marketplace ARGS=--check`: every step, and a step that is wrong is a failure."""

import re
from pathlib import Path

import pytest

from tests.examples.checking import check, sabotaged

STEPS = [
    "Sam can't sell before Stripe knows him",
    "Sam becomes a seller, and goes through Stripe's onboarding",
    "What is made to order is for workshops: a 402, and 9.00 EUR a month",
    "Sam puts three things up for sale, in three currencies",
    "Ada orders the cup with a coupon; an unknown one is refused",
    "Her first card is declined, the second pays; Sam has his share",
    "Ada buys the map in yen",
    "Ada orders the chair: the money is held until Sam takes the order on",
    "Sam refunds half of the cup: he and the platform give back their parts",
    "Ada's bank disputes the map: Sam's share is gone, and there is a deadline",
    "Sam hands in evidence, and wins: he has it again",
    "The chair is disputed too; Sam gives it up",
    "Sam's report says what he sold, in each currency",
    "The office sees the platform's money, and what sellers are owed",
    "A stranger sees nothing of this, and nobody but the office its books",
]


def test_check_walks_every_step_and_ends_0() -> None:
    done = check("marketplace")
    assert done.returncode == 0, done.stdout + done.stderr
    titles = re.findall(r"^\d+\. (.*)$", done.stdout, re.MULTILINE)
    assert titles == STEPS
    assert "stripe   account.updated -> 200" in done.stdout
    assert "ok       left to Sam: {'eur': 900, 'jpy': 2700, 'usd': 0}" in done.stdout
    assert done.stdout.endswith("All steps are right.\n")
    assert "Traceback" not in done.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("billing.py", "COMMISSION_PERCENT = 10", "COMMISSION_PERCENT = 11", "step 6: Sam has is"),
        ("__main__.py", '"seller"', '"platform"', "step 10: borne by is"),
    ],
)
def test_check_ends_otherwise_when_a_step_is_wrong(
    tmp_path: Path, file: str, old: str, new: str, words: str
) -> None:
    done = check("marketplace", sabotaged(tmp_path, f"marketplace/{file}", old, new))
    assert done.returncode == 1, done.stdout + done.stderr
    assert words in done.stderr
