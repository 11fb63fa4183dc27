"""The progress of a long command: one line on a terminal, nothing elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from gatekeeper.stripe.reconciliation.report import Watch, unwatched


@contextmanager
def watching(*names: str) -> Iterator[Watch]:
    """Shows how many of each have been looked at, and that it goes on."""
    if not sys.stderr.isatty():
        yield unwatched
        return
    seen = dict.fromkeys(names, 0)
    with typer.progressbar(_unknown(), label="", file=sys.stderr) as bar:

        def watch(what: str, count: int) -> None:
            seen[what] = seen.get(what, 0) + count
            bar.label = ", ".join(f"{number} {name}" for name, number in seen.items())
            bar.update(1)

        yield watch


def _unknown() -> Iterator[None]:
    """What has no length: nobody knows beforehand how many there are."""
    yield
