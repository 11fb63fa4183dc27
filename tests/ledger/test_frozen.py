"""Frozen accounts: nothing new is held, and what was held before settles."""

import pytest
from msgspec.structs import replace

from gatekeeper.errors import CreditsFrozenError
from gatekeeper.ledger import Capture, Extend, Fresh
from tests.ledger.builders import HOUR, Book


def test_a_frozen_account_makes_and_extends_no_hold_and_settles_the_open_ones() -> None:
    book = Book()
    book.grant(30)
    book.reserve(20)
    book.account = replace(book.account, fresh=Fresh(1, "rules", frozen="a dispute"))
    with pytest.raises(CreditsFrozenError) as caught:
        book.reserve(1, "h2")
    assert "dispute" not in f"{caught.value} {caught.value.params}"  # why is not for everybody
    with pytest.raises(CreditsFrozenError):
        book.settle("h1", Extend(book.now + HOUR, add_amount=1))
    book.settle("h1", Capture(15))
    assert book.account.available == 15
