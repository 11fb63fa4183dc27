"""Every hard case of the reference is a test by its number, on the databases that it needs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.whole_run import collected_from

TESTS = Path(__file__).parent
ROOT = TESTS.parent
DATABASES = {"sqlite", "postgresql"}
OF_STRIPE = {*range(1, 51), *range(61, 64)}


@pytest.fixture(scope="module")
def found(request: pytest.FixtureRequest) -> dict[int, set[str]]:
    """The databases on which the tests of each number run, of those that `make test` runs: of each
    number the test that runs on the most, for the parts of a case that need no database may do
    without."""
    files = [path for path in TESTS.rglob("test_*.py") if "def test_case_" in path.read_text()]
    items = collected_from(request.session, files)
    collected = "\n".join(item.nodeid for item in items) if items else _collected_anew(files)
    tests: dict[tuple[int, str], set[str]] = {}
    for test, number, parameters in re.findall(r"(\S+::test_case_(\d\d)_\w+)(.*)", collected):
        seen = DATABASES.intersection(re.findall(r"\w+", parameters))
        tests.setdefault((int(number), test), set()).update(seen)
    cases: dict[int, set[str]] = {}
    for (case, _), databases in tests.items():
        cases[case] = max(cases.get(case, set()), databases, key=len)
    return cases


def _collected_anew(files: list[Path]) -> str:
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", *map(str, files)),
            *("--collect-only", "-q", "-k", "test_case_"),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_every_case_of_the_page_is_a_test_by_its_number(found: dict[int, set[str]]) -> None:
    page = (ROOT / "docs/reference/hard-cases.md").read_text()
    listed = [int(number) for number in re.findall(r"^\| (\d\d) \|", page, re.MULTILINE)]
    assert listed == sorted(found) == list(range(1, 68))


def test_the_cases_of_stripe_run_on_sqlite_and_on_postgresql(found: dict[int, set[str]]) -> None:
    lacking = {n: DATABASES - found[n] for n in OF_STRIPE if not found.get(n, set()) >= DATABASES}
    assert lacking == {}
