"""The list of faults fits the sources, each fault is caught, and the runner can tell."""

import ast
import re
import subprocess
import sys
from dataclasses import replace
from typing import Final

import pytest

from tests.faults import command
from tests.faults.every import EVERY_FAULT
from tests.faults.fault import PACKAGE, ROOT, Fault
from tests.faults.running import RUN_SECONDS, Outcome, Verdict, run
from tests.services.postgres import PostgresServer
from tests.whole_run import collected_from

each_fault: Final = pytest.mark.parametrize("fault", EVERY_FAULT, ids=lambda fault: fault.name)

CAUGHT: Final = Fault(
    name="caught",
    breaks="the digest of a request is of all that it asks for",
    file="ledger/idempotency.py",
    source="[operation, sorted(arguments.items())]",
    wrong="[operation]",
    tests=("tests/ledger/test_idempotency.py",),
)
NOT_CAUGHT: Final = replace(
    CAUGHT, name="not-caught", source="hashlib.sha256(", wrong="hashlib.sha3_256("
)
MISSING_NAME: Final = replace(CAUGHT, name="missing-name", wrong="[arguments_]")
MISSING_MODULE: Final = replace(
    CAUGHT, name="missing-module", source="import hashlib\n", wrong="import hashlib_\n"
)
MISSING_TEST: Final = replace(
    CAUGHT, name="missing-test", tests=("tests/ledger/test_idempotency.py::test_nothing",)
)


# -- the list -------------------------------------------------------------------------------------


@each_fault
def test_it_still_fits_its_file(fault: Fault) -> None:
    right = (PACKAGE / fault.file).read_text("utf-8")
    wrong = fault.applied_to(right)
    assert ast.dump(ast.parse(wrong)) != ast.dump(ast.parse(right)), "it changes nothing that runs"
    compile(wrong, fault.file, "exec")


def test_each_has_a_name_of_its_own() -> None:
    names = [fault.name for fault in EVERY_FAULT]
    assert len(names) == len(set(names)) >= 20
    assert len({(fault.file, fault.source, fault.wrong) for fault in EVERY_FAULT}) == len(names)


def test_the_tests_that_it_names_are_there(request: pytest.FixtureRequest) -> None:
    named = {test for fault in EVERY_FAULT for test in fault.tests}
    files = {ROOT / test.partition("::")[0] for test in named}
    there: set[str] = set()
    for item in collected_from(request.session, files) or []:
        parts = re.split(r"::|(?=\[)", item.nodeid)
        there |= {"::".join(parts[: n + 1]).replace("::[", "[") for n in range(len(parts))}
    named -= there
    if not named:
        return
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-qq", *sorted(named)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,  # what it printed is worth more than the exception's text
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.timeout(RUN_SECONDS + 60)
@each_fault
def test_it_is_caught(fault: Fault, postgres_server: PostgresServer) -> None:
    verdict = run(fault, postgres_url=postgres_server.url)
    assert verdict.outcome is Outcome.CAUGHT, f"{fault.breaks}: {verdict.detail}"


# -- the runner -----------------------------------------------------------------------------------


def test_a_fault_is_caught_by_a_test_that_fails() -> None:
    verdict = run(CAUGHT)
    assert (verdict.outcome, verdict.detail) == (Outcome.CAUGHT, "")
    assert "test_idempotency.py::test_other_requests_have_other_fingerprints" in verdict.test


@pytest.mark.parametrize("fault", [MISSING_NAME, MISSING_MODULE, MISSING_TEST])
def test_what_can_not_be_tried_is_not_caught(fault: Fault) -> None:
    assert run(fault).outcome is Outcome.ERROR


def test_a_fault_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="occurs 0 times"):
        run(replace(CAUGHT, source="there is no such text"))


def test_a_fault_that_no_test_notices_is_not_caught() -> None:
    assert run(NOT_CAUGHT).outcome is Outcome.NOT_CAUGHT


def test_the_command_tells_by_its_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = {
        CAUGHT: Outcome.CAUGHT,
        NOT_CAUGHT: Outcome.NOT_CAUGHT,
        MISSING_TEST: Outcome.ERROR,
    }

    def told(fault: Fault, *, postgres_url: str | None) -> Verdict:
        assert postgres_url is None, "the engine needs no server"
        return Verdict(fault, outcomes[fault], 0.0)

    monkeypatch.setattr(command, "run", told)
    faults = tuple(outcomes)
    assert command.main(["caught"], faults) == 0
    assert command.main(["caught", "not-caught"], faults) == 1
    assert capsys.readouterr().out.endswith("1 caught, 1 NOT CAUGHT\n")
    assert command.main([], faults) == 2
    assert command.main(["--list"], faults) == 0
    assert "not-caught" in capsys.readouterr().out
    with pytest.raises(SystemExit) as refused:
        command.main(["unknown"], faults)
    assert refused.value.code == 2
