"""The story of the music mixer over HTTP, and steps that are wrong."""

import re
from pathlib import Path

import pytest

from tests.examples.checking import check, sabotaged

STEPS = [
    "Nobody is signed in",
    "Sign up: mixing and listening are free",
    "Export, master, download and save are 402s",
    "The upgrade dialog: what is for sale",
    "Pay in the page; the first card is declined",
    "Stripe's webhooks arrive too, and give nothing twice",
    "Ten exports; the eleventh is a 402",
    "Five masters; the sixth is a 402",
    "Download an export, save a project",
    "Change to yearly: what it costs, and then it is done",
    "A month later there are new exports and masters, and nothing to pay",
    "Cancel at the end of the year, and take it back",
    "Cancel, and let the year end: Free again, and the project is still there",
    "Bob goes Pro on Stripe's page",
]


def test_check_walks_every_step_and_ends_0() -> None:
    done = check("music_mixer")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^\d+\. (.*)$", done.stdout, re.MULTILINE) == STEPS
    assert "stripe   customer.subscription.created -> 200" in done.stdout
    assert done.stdout.endswith("All steps are right.\n")
    assert "Traceback" not in done.stderr


@pytest.mark.long
def test_check_ends_otherwise_when_a_step_is_wrong(tmp_path: Path) -> None:
    wrong = sabotaged(tmp_path, "music_mixer/app.py", '@gate.consumes("exports", 1)', "")
    done = check("music_mixer", wrong)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "step 3: export is 200, not 402" in done.stderr
