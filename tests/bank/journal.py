"""What a worker has asked for and what it was told, line by line in a file of its own.

A line is written before a call and after its answer, by one write(2) each: a killed process keeps
what it wrote, but for a last line that was cut.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

SUFFIX: Final = ".journal"


class Journal:
    """Writes the file of one worker."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._asked = 0

    def ask(self, what: str, **fields: Any) -> int:
        """Note what is about to be asked for; returns the number of the question."""
        self._asked += 1
        self._write({"n": self._asked, "ask": what, **fields})
        return self._asked

    def told(self, number: int, **fields: Any) -> None:
        """Note that it was done, and what the answer said."""
        self._write({"n": number, "told": fields})

    def refused(self, number: int, code: str, **fields: Any) -> None:
        """Note that it was not done: the answer said so, or its transaction was rolled back."""
        self._write({"n": number, "refused": code, **fields})

    def fault(self, text: str) -> None:
        """Note what must not happen: a hang, or an exception that is no answer."""
        self._write({"fault": text})

    def _write(self, line: dict[str, Any]) -> None:
        os.write(self._file, json.dumps({**line, "at": time.time()}).encode() + b"\n")


@dataclass(slots=True)
class Question:
    """One thing that a worker asked for.

    `told` is what the answer said; None without an answer. `refused` is the code of a refusal: it
    was not done. Without either it may have been done, once.
    """

    worker: str
    number: int
    what: str
    fields: dict[str, Any]
    told: dict[str, Any] | None = None
    refused: str | None = None
    refusal: dict[str, Any] = field(default_factory=dict)

    @property
    def may_be_done(self) -> bool:
        """Whether it was done, or may have been."""
        return self.refused is None

    @property
    def name(self) -> str:
        """How a breach names it."""
        return f"{self.what} {self.number} of {self.worker}"


@dataclass(slots=True)
class Journals:
    """All that was asked for, by all workers."""

    questions: list[Question] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def read_journals(folder: Path) -> Journals:
    """The journals of a folder as they are now; their workers may still be writing."""
    found = Journals()
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        asked: dict[int, Question] = {}
        for line in _lines(path):
            if "fault" in line:
                found.faults.append(f"{path.stem}: {line['fault']}")
                continue
            number = line.pop("n")
            del line["at"]  # for people who look for what took long
            if "ask" in line:
                asked[number] = Question(path.stem, number, line.pop("ask"), line)
            elif "told" in line:
                asked[number].told = line["told"]
            else:
                asked[number].refused = line.pop("refused")
                asked[number].refusal = line
        found.questions += asked.values()
    return found


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    whole, _, _ = path.read_bytes().rpartition(b"\n")  # a last line without its end was cut
    for line in whole.splitlines():
        yield json.loads(line)
