"""The gate of the coverage lets nothing below its floor through."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import coverage_gate
from tests.coverage_gate import COMPLETE, check, count_rooms, room_of


def measured(
    lines: int, covered: int, branches: int = 0, covered_branches: int = 0
) -> dict[str, Any]:
    return {
        "summary": {
            "num_statements": lines,
            "covered_lines": covered,
            "num_branches": branches,
            "covered_branches": covered_branches,
        },
        "missing_lines": list(range(1, lines - covered + 1)),
        "missing_branches": [[9, -1], [9, 12]][: branches - covered_branches],
    }


def report(**changed: dict[str, Any]) -> dict[str, Any]:
    files = {f"{name}.py": measured(10, 10, 4, 4) for name in COMPLETE}
    files["src/gatekeeper/sync.py"] = measured(10, 10)
    return {"files": files | {path.replace("__", "/") + ".py": m for path, m in changed.items()}}


@pytest.mark.parametrize(
    ("path", "room"),
    [
        ("src/gatekeeper/ledger/engine.py", "src/gatekeeper/ledger"),
        ("src/gatekeeper/errors.py", "src/gatekeeper/errors"),
        ("src/gatekeeper/stripe/webhooks/handlers/invoice.py", "src/gatekeeper/stripe/webhooks"),
        ("src/gatekeeper/stripe/client.py", "src/gatekeeper/stripe"),
        ("src/gatekeeper/typesetting.py", "src/gatekeeper/typesetting"),
        ("adapters/gatekeeper_fastapi/install.py", "adapters/gatekeeper_fastapi"),
    ],
)
def test_a_file_belongs_to_its_room(path: str, room: str) -> None:
    assert room_of(path) == room


def test_full_coverage_passes() -> None:
    assert check(count_rooms(report())) == []


def test_one_branch_missing_in_a_deciding_room_fails_and_is_named() -> None:
    faults = check(count_rooms(report(src__gatekeeper__ledger__engine=measured(50, 50, 10, 8))))
    assert faults[0].startswith("src/gatekeeper/ledger: 97.")
    assert faults[1] == "    src/gatekeeper/ledger/engine.py: 9->exit/12"


@pytest.mark.parametrize(("covered", "fails"), [(91, False), (90, True), (0, True)])
def test_another_room_must_be_above_ninety_percent(covered: int, fails: bool) -> None:
    rooms = count_rooms(report(src__gatekeeper__cache__redis=measured(100, covered)))
    assert bool(check(rooms)) is fails


def test_a_room_that_was_not_measured_fails() -> None:
    whole = report()
    del whole["files"]["src/gatekeeper/periods.py"]
    assert check(count_rooms(whole)) == ["src/gatekeeper/periods: not measured at all"]


def test_a_report_without_branches_is_refused() -> None:
    with pytest.raises(ValueError, match="without branches"):
        count_rooms({"files": {"src/gatekeeper/types.py": {"summary": {"num_statements": 1}}}})


def test_the_command_ends_with_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "coverage.json"
    path.write_text(json.dumps(report()))
    assert coverage_gate.main([str(path)]) == 0
    path.write_text(json.dumps(report(src__gatekeeper__gate=measured(10, 5))))
    assert coverage_gate.main([str(path)]) == 1
    assert "src/gatekeeper/gate: 50.00 %" in capsys.readouterr().err
