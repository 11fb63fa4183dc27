"""What a fault is, and how it is put into a copy of the sources."""

import shutil
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCES: Final = ROOT / "src"
PACKAGE: Final = SOURCES / "gatekeeper"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One deliberate bug.

    Attributes:
        name: how it is called on the command line.
        breaks: what no longer holds, in one line.
        file: where, under `src/gatekeeper`.
        source: the text that is right; it occurs there exactly once.
        wrong: the text that takes its place.
        tests: what pytest is given: the smallest set of tests that must notice, quickest first.
    """

    name: str
    breaks: str
    file: str
    source: str
    wrong: str
    tests: tuple[str, ...]

    def applied_to(self, text: str) -> str:
        """The text of the file with the fault in it.

        Raises:
            ValueError: the text that is to be replaced is not there exactly once.
        """
        found = text.count(self.source)
        if found != 1:
            raise ValueError(f"the source text of {self.name} occurs {found} times in {self.file}")
        return text.replace(self.source, self.wrong)

    def copy_into(self, folder: Path) -> None:
        """Copy the sources into an empty folder, with the fault in them."""
        shutil.copytree(PACKAGE, folder / PACKAGE.name)  # compiled files too: they are still right
        path = folder / PACKAGE.name / self.file
        path.write_text(self.applied_to(path.read_text("utf-8")), "utf-8")
        Path(cache_from_source(str(path))).unlink(missing_ok=True)
