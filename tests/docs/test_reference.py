"""The reference lists what there is: no more, no less, and as it is. And no link leads nowhere."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from annotated_types import Ge, Le

from gatekeeper import errors
from gatekeeper.asgi import BillingOptions
from gatekeeper.asgi.billing import operations_of
from gatekeeper.asgi.billing.tags import tag_of
from gatekeeper.errors import PROBLEM_TYPE_PREFIX, GatekeeperError
from gatekeeper.settings import Settings
from gatekeeper.storage.memory import MemoryStore
from tests.docs.test_code_blocks import PAGES, ROOT
from tests.gates import new_gate

REFERENCE = ROOT / "docs" / "reference"
LINK = re.compile(r"\]\(([^)\s]+)\)")


def rows(page: str) -> Iterator[list[str]]:
    """The cells of each row of the tables whose first cell is code."""
    for line in (REFERENCE / page).read_text().splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def test_the_page_of_errors_lists_exactly_the_classes_as_they_are() -> None:
    classes = [
        found
        for _, found in inspect.getmembers(errors, inspect.isclass)
        if issubclass(found, GatekeeperError)
    ]
    wanted = {
        found.__name__: [
            found.__bases__[0].__name__,
            found.code,
            str(found.status),
            PROBLEM_TYPE_PREFIX + found.code.replace("_", "-"),
            (found.__doc__ or "").strip().splitlines()[0],
        ]
        for found in classes
    }
    shown = {
        cells[0].strip("`"): [cell.strip("`") for cell in cells[1:]] for cells in rows("errors.md")
    }
    assert shown == wanted


def test_the_page_of_settings_lists_exactly_the_settings_with_their_defaults() -> None:
    shown = {cells[0].strip("`"): cells[1] for cells in rows("settings.md")}
    assert list(shown) == list(Settings.env_names.values())
    for name, field in Settings.model_fields.items():
        cell = shown[Settings.env_names[name]]
        default = field.default
        if default in (None, (), ""):
            assert cell == "not set", name
            continue
        text = str(default).lower() if isinstance(default, bool) else str(default)
        lows = [bound.ge for bound in field.metadata if isinstance(bound, Ge)]
        highs = [bound.le for bound in field.metadata if isinstance(bound, Le)]
        bounds = f", from {lows[0]} to {highs[0]}" if lows and highs else ""
        assert cell.startswith(f"`{text}`{bounds}"), name


def test_the_page_of_the_billing_api_lists_exactly_its_operations_under_their_headings() -> None:
    gate = new_gate("sqlite:///unused", store=MemoryStore())
    wanted: dict[str, list[list[str]]] = {}
    for one in operations_of(gate, BillingOptions(back_office=lambda _: "ann")):
        codes = ", ".join(sorted(f"`{code}`" for code in {kind.code for kind in one.errors}))
        row = [f"`{one.method} {one.path[1:]}`", one.summary, codes]
        wanted.setdefault(tag_of(one.path), []).append(row)
    shown: dict[str, list[list[str]]] = {}
    for line in (REFERENCE / "billing-api.md").read_text().splitlines():
        if line.startswith("## "):
            under = shown.setdefault(line.removeprefix("## ").lower(), [])
        elif line.startswith("| `"):
            under.append([cell.strip() for cell in line.strip("|").split(" | ")])
    assert shown == wanted


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_the_page_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
