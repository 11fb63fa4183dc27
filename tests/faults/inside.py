"""A pytest plugin for runs with a fault: it checks whose sources are tested, and notes failures.

It is loaded by `-p tests.faults.inside`, and told by the environment where to look and write.
"""

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest

SOURCES_VARIABLE: Final = "GATEKEEPER_TEST_FAULT_SOURCES"
"""The folder that `gatekeeper` must come from."""

NOTES_VARIABLE: Final = "GATEKEEPER_TEST_FAULT_NOTES"
"""The file that takes one line of JSON for each test that failed."""


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to test any other sources: that the fault is not caught there would say nothing."""
    import gatekeeper  # here: what is imported first must be the copy

    wanted = Path(os.environ[SOURCES_VARIABLE]).resolve()
    if not Path(gatekeeper.__file__).resolve().is_relative_to(wanted):
        raise pytest.UsageError(f"{gatekeeper.__file__} is tested, and not {wanted}.")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note which test failed in itself (not in its fixtures), and by which exception."""
    report = yield
    if report.when == "call" and report.failed and call.excinfo is not None:
        note = {"test": item.nodeid, "error": call.excinfo.typename}
        with Path(os.environ[NOTES_VARIABLE]).open("a", encoding="utf-8") as notes:
            notes.write(json.dumps(note) + "\n")
    return report
