"""The floors that the tests' coverage must keep: `python -m tests.coverage_gate COVERAGE_JSON`.

Branch coverage, as coverage.py counts it: (covered lines + covered branches) / (lines + branches).
The rooms that decide, and the road of Stripe's events, are covered completely; every other room,
and every adapter, above 90 %. A room that should be there and is not is a failure too.
"""

import json
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Rooms by the path of their files, without `.py`; a longer path goes before a shorter one.
COMPLETE = (
    "src/gatekeeper/catalog",
    "src/gatekeeper/entitlements",
    "src/gatekeeper/errors",
    "src/gatekeeper/ledger",
    "src/gatekeeper/periods",
    "src/gatekeeper/projection",
    "src/gatekeeper/stripe/webhooks",
    "src/gatekeeper/topping_up",
    "src/gatekeeper/types",
)
FLOOR_PERCENT = 90.0


@dataclass(slots=True)
class Room:
    """What was counted in the files of one room."""

    name: str
    total: int = 0
    covered: int = 0
    gaps: list[str] = field(default_factory=list)

    @property
    def percent(self) -> float:
        """The covered share; a room without a statement is covered."""
        return 100.0 * self.covered / self.total if self.total else 100.0

    @property
    def kept(self) -> bool:
        """Whether the room is at its floor."""
        if self.name in COMPLETE:
            return self.covered == self.total
        return self.percent > FLOOR_PERCENT


def room_of(path: str) -> str:
    """The room that a measured file belongs to."""
    stem = path.removesuffix(".py")
    for name in COMPLETE:
        if stem == name or stem.startswith(f"{name}/"):
            return name
    parts = stem.split("/")
    depth = 2 if parts[0] == "adapters" else 3
    return "/".join(parts[:depth])


def count_rooms(report: dict[str, Any]) -> list[Room]:
    """Add up the files of a `coverage json` report by room, with a line for each gap."""
    rooms: dict[str, Room] = {}
    for path, measured in sorted(report["files"].items()):
        summary = measured["summary"]
        if "num_branches" not in summary:
            raise ValueError(f"{path} was measured without branches")
        name = room_of(Path(path).as_posix())
        room = rooms.setdefault(name, Room(name))
        room.total += summary["num_statements"] + summary["num_branches"]
        room.covered += summary["covered_lines"] + summary["covered_branches"]
        if gap := _describe_gap(measured):
            room.gaps.append(f"{path}: {gap}")
    return list(rooms.values())


def _describe_gap(measured: dict[str, Any]) -> str:
    lines = [str(line) for line in measured["missing_lines"]]
    branches: dict[int, list[str]] = defaultdict(list)
    for start, end in measured["missing_branches"]:
        branches[start].append("exit" if end < 0 else str(end))
    arrows = [f"{start}->{'/'.join(ends)}" for start, ends in sorted(branches.items())]
    return ", ".join(lines + arrows)


def check(rooms: list[Room]) -> list[str]:
    """The rooms below their floor, with their gaps, and the rooms that are missing; a line each."""
    faults = [f"{name}: not measured at all" for name in COMPLETE if name not in _names(rooms)]
    for room in rooms:
        if not room.kept:
            floor = "100" if room.name in COMPLETE else f"above {FLOOR_PERCENT:.0f}"
            faults.append(f"{room.name}: {room.percent:.2f} %, must be {floor} %")
            faults.extend(f"    {gap}" for gap in room.gaps)
    return faults


def _names(rooms: list[Room]) -> set[str]:
    return {room.name for room in rooms}


def main(arguments: list[str]) -> int:
    """Print the table and the faults; the number of the exit status."""
    report = json.loads(Path(arguments[0]).read_text())
    rooms = count_rooms(report)
    for room in rooms:
        print(f"{room.percent:7.2f} %  {room.name}")
    faults = check(rooms)
    if faults:
        print("\ncoverage: below the floor", *faults, sep="\n", file=sys.stderr)
        return 1
    print(f"coverage: {len(rooms)} rooms at or above their floors")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
