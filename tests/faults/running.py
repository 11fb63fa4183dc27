"""Running the tests of a fault on a copy of the sources that has it."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from tests.faults.fault import ROOT, Fault
from tests.faults.inside import NOTES_VARIABLE, SOURCES_VARIABLE
from tests.services.postgres import URL_VARIABLE

TEST_SECONDS: Final = 60
"""A fault may make a test hang: then that is how it is caught."""

RUN_SECONDS: Final = 300
"""What all tests of one fault may take."""

BROKEN: Final = frozenset({"ImportError", "ModuleNotFoundError", "NameError", "SyntaxError"})
"""Errors of a fault that does not even make sense: any test at all would notice."""


class Outcome(Enum):
    """What came of a fault. The value is what the table shows."""

    CAUGHT = "caught"
    NOT_CAUGHT = "NOT CAUGHT"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a fault was caught: by which test, or (`detail`) what happened instead."""

    fault: Fault
    outcome: Outcome
    seconds: float
    test: str = ""
    detail: str = ""


def run(fault: Fault, *, postgres_url: str | None = None) -> Verdict:
    """Run a fault's tests until the first one fails; `postgres_url` lends them a server.

    Only a test that failed in itself has caught it. That pytest could not collect the tests, that a
    fixture broke, or that the faulty code does not make sense, is an error of the list.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gatekeeper-fault-") as name:
        folder = Path(name)
        sources, notes = folder / "src", folder / "notes"
        sources.mkdir()
        notes.touch()
        fault.copy_into(sources)
        code, printed = _pytest(fault, sources, notes, postgres_url)
        failed = [json.loads(line) for line in notes.read_text("utf-8").splitlines()]
    seconds = time.monotonic() - began
    if code == 0:
        return Verdict(fault, Outcome.NOT_CAUGHT, seconds, detail="all of its tests pass")
    if code != 1 or not failed or failed[0]["error"] in BROKEN:
        return Verdict(fault, Outcome.ERROR, seconds, detail=f"pytest: {code}\n{printed[-4000:]}")
    return Verdict(fault, Outcome.CAUGHT, seconds, test=failed[0]["test"])


def _pytest(
    fault: Fault, sources: Path, notes: Path, postgres_url: str | None
) -> tuple[int | None, str]:
    """pytest's exit code (None: it took too long), and what it printed."""
    # Lines of the copy are nobody's coverage.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
    environment |= {
        # It goes before what is installed; `inside` checks that it did.
        "PYTHONPATH": str(sources),
        SOURCES_VARIABLE: str(sources),
        NOTES_VARIABLE: str(notes),
    }
    if postgres_url is not None:
        environment[URL_VARIABLE] = postgres_url
    command = [
        *(sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=short"),
        *("-p", "tests.faults.inside", "-p", "no:cacheprovider", f"--timeout={TEST_SECONDS}"),
        *fault.tests,
    ]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=RUN_SECONDS,
            check=False,  # its exit code is the answer
        )
    except subprocess.TimeoutExpired:
        return None, f"the tests took more than {RUN_SECONDS} s"
    return done.returncode, done.stdout
