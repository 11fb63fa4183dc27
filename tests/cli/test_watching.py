"""The progress of long commands: on a terminal alone."""

import sys

import pytest

from gatekeeper.cli.watching import watching


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_terminal_is_shown_how_far_it_has_come(
    is_terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    with watching("events", "invoices") as watch:
        watch("events", 100)
        watch("events", 20)
        watch("refunds", 3)
    shown = capsys.readouterr().err
    assert ("120 events, 0 invoices, 3 refunds" in shown) is is_terminal
    assert bool(shown) is is_terminal
