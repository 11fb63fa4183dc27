"""The guide to signals lists what there is: every topic, every notice, and what analytics send."""

import re
from collections.abc import Iterator
from typing import get_args

from gatekeeper.services.analytics import EVENTS
from gatekeeper.services.notices import NoticeKind
from gatekeeper.services.outbox import TOPICS
from tests.docs.test_code_blocks import ROOT

PAGE = (ROOT / "docs" / "guides" / "signals.md").read_text()
NAME = re.compile(r"`([a-z_.]+)`")


def rows(header: str) -> Iterator[list[list[str]]]:
    """The names in each cell of each row of the table under `header`."""
    table = PAGE[PAGE.index(header) :].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        yield [NAME.findall(cell) for cell in line.strip("|").split("|")]


def test_every_topic_is_listed_once() -> None:
    listed = [topic for cells in rows("| Topic | When") for topic in cells[0]]
    assert sorted(listed) == sorted(TOPICS)


def test_every_notice_is_named() -> None:
    for kind in get_args(NoticeKind):
        assert f"`{kind}`" in PAGE


def test_what_analytics_send_is_listed_exactly() -> None:
    listed = {cells[0][0]: tuple(cells[1]) for cells in rows("| Event | Properties")}
    assert listed == dict(EVENTS)
