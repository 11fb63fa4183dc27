"""What a run of all the tests has collected, for tests that look at the tests.

To collect them again, in a process of its own, takes as long as importing them all.
"""

from collections.abc import Iterable
from pathlib import Path

import pytest


def collected_from(session: pytest.Session, files: Iterable[Path]) -> list[pytest.Item] | None:
    """The tests of this run; None if it may lack some of those that `make test` would run of
    `files`."""
    config = session.config
    chosen = config.getoption("keyword") or any("::" in argument for argument in config.args)
    if chosen or not {item.path for item in session.items} >= set(files):
        return None
    return [item for item in session.items if not item.get_closest_marker("long")]
