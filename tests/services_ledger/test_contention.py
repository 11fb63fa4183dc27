"""What is kept in mind of accounts that somebody else writes too."""

import pytest

from gatekeeper.services.ledger import contention
from gatekeeper.services.ledger.contention import MAX_LOSSES, Contention

ONE, OTHER = ("ada", "credits"), ("bob", "credits")


def test_who_came_second_is_contended_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    found = Contention()
    found.lost([ONE])
    assert (found.is_contended(ONE), found.is_contended(OTHER)) == (True, False)
    now += contention.CONTENDED_SECONDS
    assert not found.is_contended(ONE)


def test_only_losses_in_a_row_are_hopeless() -> None:
    found = Contention()
    for _ in range(MAX_LOSSES - 1):
        found.lost([ONE])
    assert not found.is_hopeless(ONE)
    found.won([ONE, OTHER])
    found.lost([ONE])
    assert not found.is_hopeless(ONE)
    for _ in range(MAX_LOSSES - 1):
        found.lost([ONE])
    assert (found.is_hopeless(ONE), found.is_hopeless(OTHER)) == (True, False)


def test_what_is_lost_slowly_is_hopeless_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a round takes, and whoever asks meanwhile: in the end the account is locked."""
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    found = Contention()
    rounds = 0
    while not found.is_hopeless(ONE):
        now += 2 * contention.CONTENDED_SECONDS
        found.lost([ONE])
        rounds += 1
        now += 2 * contention.CONTENDED_SECONDS
        assert not found.is_contended(ONE)
    assert rounds == 2
    found.won([ONE])
    assert not found.is_hopeless(ONE)
    assert not found.is_contended(ONE)
    assert not found._races


def test_what_is_over_is_forgotten_once_there_is_much_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr(contention, "MAX_CONTENDED", 0)
    found = Contention()
    found.lost([ONE])
    now += contention.CONTENDED_SECONDS
    found.lost([OTHER])
    assert list(found._races) == [ONE, OTHER]
    now += contention.KEPT_SECONDS
    found.lost([OTHER])
    assert list(found._races) == [OTHER]
