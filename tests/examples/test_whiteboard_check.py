"""`make demo APP=whiteboard ARGS=--check`: every step, and a step that is wrong is a failure."""

import re
from pathlib import Path

import pytest

from examples.whiteboard.funnel import PRICING, TOLD
from tests.examples.checking import ROOT, check, sabotaged

STEPS = [
    "Nobody is signed in",
    "Sign up: the free plan and 10 credits",
    "Lines by hand cost nothing, a sketch costs five credits",
    "The third sketch is a 402, and so is taking the board away",
    "Look at the prices and check out; the first card is declined",
    "Stripe's webhooks arrive: Pro, and 100 credits",
    "The gate of the export is open, from this process's memory",
    "Agree to 50 credits for 4.00 when fewer than 20 are left, 12.00 a month at most",
    "Run low: the saved card pays, and nobody had to do anything",
    "A card whose bank asks for the person: blocked, and said so",
    "Another card: it goes on by itself",
    "A third pack, and then the month's cap",
    "Turn the top-up off. Beyond its credits Pro goes on, and what is over is metered",
    "A month later: 100 new credits, and 10 of overage on the invoice",
    "The funnel: from the prices to the checkout to the payment",
    "Cancel: Pro until the end of the period",
    "The period ends: Free, and the export is closed",
]


def test_check_walks_every_step_and_ends_0() -> None:
    done = check("whiteboard")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^\d+\. (.*)$", done.stdout, re.MULTILINE) == STEPS
    assert "changed  top-up: 'authentication_required' -> 'idle'" in done.stdout
    assert done.stdout.endswith("All steps are right.\n")
    assert "Traceback" not in done.stderr


@pytest.mark.long
def test_check_ends_otherwise_when_a_step_is_wrong(tmp_path: Path) -> None:
    unguarded = sabotaged(tmp_path, "whiteboard/app.py", '@gate.consumes_credits("sketch")', "")
    done = check("whiteboard", unguarded)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "step 3: credits is 10, not 0" in done.stderr
    assert "All steps are right." not in done.stdout


def test_the_readme_s_table_has_every_event() -> None:
    readme = (ROOT / "examples" / "whiteboard" / "README.md").read_text()
    table = readme[readme.index("| Event |") :].partition("\n\n")[0]
    listed = [name for row in table.splitlines()[2:] for name in row.split("|")[1].split(",")]
    assert sorted(name.strip(" `") for name in listed) == sorted((PRICING, *TOLD))
