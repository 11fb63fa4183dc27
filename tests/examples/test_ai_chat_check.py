"""`make demo ARGS=--check`: it walks every step, and a step that is wrong is a failure."""

import re
from pathlib import Path

import pytest

from tests.examples.checking import check, sabotaged

STEPS = [
    "Nobody is signed in",
    "Sign up: the free plan and 5 credits",
    "Five messages cost five credits",
    "The sixth message is a 402",
    "History is for Pro",
    "Check out; the first card is declined",
    "Stripe's webhooks arrive: Pro, and 1,000 credits",
    "More messages, and a retry that is not charged twice",
    "Buy 100 credits",
    "Usage, invoices and payments",
    "A month later the subscription renews: 1,000 new credits, 100 carried over",
    "Cancel at the end of the period: Pro until then",
    "The period ends: Free again, and the bought credits stay",
]


def test_check_walks_every_step_and_ends_0() -> None:
    done = check("ai_chat")
    assert done.returncode == 0, done.stdout + done.stderr
    titles = re.findall(r"^\d+\. (.*)$", done.stdout, re.MULTILINE)
    assert titles == STEPS
    assert "stripe   checkout.session.completed -> 200" in done.stdout
    assert "changed  plan: 'free' -> 'pro'" in done.stdout
    assert "changed  credits: 1099 -> 1200" in done.stdout
    assert done.stdout.endswith("All steps are right.\n")
    # A warning there may be: time that leaps by weeks overtakes the lease of an event at hand.
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("billing.py", "credits.once(5)", "credits.once(6)", "step 2: plan and credits is"),
        ("app.py", '@gate.consumes_credits("message")', "", "step 3: warnings at 2 credits is []"),
        ("check.py", '("free", 5)', '("free", 4)', "not ('free', 4)"),
    ],
)
def test_check_ends_otherwise_when_a_step_is_wrong(
    tmp_path: Path, file: str, old: str, new: str, words: str
) -> None:
    done = check("ai_chat", sabotaged(tmp_path, f"ai_chat/{file}", old, new))
    assert done.returncode == 1, done.stdout + done.stderr
    assert words in done.stderr
    assert "NOT RIGHT: StoryError: " in done.stderr
    assert "All steps are right." not in done.stdout


def test_check_says_that_it_needs_the_simulator() -> None:
    done = check("ai_chat", STRIPE_SECRET_KEY="sk_test_1", STRIPE_WEBHOOK_SECRET="whsec_1")
    assert done.returncode == 1
    assert "NOT RIGHT: " in done.stderr
