"""Who is first: the work that begins, or the caller that gives it up."""

import pytest

from gatekeeper.storage.sql.attempt import AbandonedError, Begun


def test_work_that_was_given_up_does_not_begin() -> None:
    begun = Begun()
    assert begun.abandon()
    with pytest.raises(AbandonedError):
        begun.begin()


def test_work_that_has_begun_can_not_be_given_up_and_may_begin_again() -> None:
    begun = Begun()
    begun.begin()
    assert not begun.abandon()
    begun.begin()
