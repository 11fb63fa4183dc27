"""Receipts and fingerprints."""

import pytest

from gatekeeper.errors import IdempotencyConflictError
from gatekeeper.ledger import Receipt, check_replay, fingerprint
from tests.ledger.builders import START


def test_the_same_request_has_the_same_fingerprint_in_any_order() -> None:
    assert fingerprint("reserve", amount=1, unit="a") == fingerprint("reserve", unit="a", amount=1)
    assert len(fingerprint("reserve")) == 64


@pytest.mark.parametrize(
    "other",
    [
        fingerprint("capture", amount=1, unit="a"),
        fingerprint("reserve", amount=2, unit="a"),
        fingerprint("reserve", amount="1", unit="a"),
        fingerprint("reserve", amount=True, unit="a"),
        fingerprint("reserve", amount=1, unit=None),
        fingerprint("reserve", amount=1),
        fingerprint("reserve", amount=1, unit="a", x=None),
    ],
)
def test_other_requests_have_other_fingerprints(other: str) -> None:
    assert fingerprint("reserve", amount=1, unit="a") != other


def test_a_replay_gets_the_stored_answer_and_another_request_is_refused() -> None:
    receipt = Receipt("ada", "key", fingerprint("reserve", amount=1), '"hold_1"', START)
    assert check_replay(receipt, fingerprint("reserve", amount=1)) == '"hold_1"'
    with pytest.raises(IdempotencyConflictError):
        check_replay(receipt, fingerprint("reserve", amount=2))
