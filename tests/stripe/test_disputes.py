"""Evidence that can be handed in; and taking paybacks goes on after an outage."""

from typing import Any

import anyio
import pytest

from gatekeeper.errors import InvalidInputError, StoreUnavailableError
from gatekeeper.services.disputes import MAX_CHARS, MAX_TEXT_CHARS, TEXTS, checked_evidence
from gatekeeper.storage.port import Store
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.selling.paybacks import PaybackTaker
from tests.stripe.world import FakeStripe


def test_evidence_in_words_is_taken() -> None:
    whole = dict.fromkeys(TEXTS, "w" * (MAX_CHARS // len(TEXTS)))
    assert checked_evidence(whole) == whole


@pytest.mark.parametrize(
    "evidence",
    [
        {},
        {"receipt": "file_1"},
        {"uncategorized_text": 1},
        {"uncategorized_text": "w" * (MAX_TEXT_CHARS + 1)},
        {"uncategorized_text": "\x00"},
        {"uncategorized_text": "\ud800"},
        dict.fromkeys(TEXTS, "w" * (MAX_CHARS // len(TEXTS) + 1)),
    ],
)
def test_other_evidence_is_refused(evidence: Any) -> None:
    with pytest.raises(InvalidInputError):
        checked_evidence(evidence)


@pytest.mark.anyio
async def test_taking_paybacks_goes_on_after_an_outage(
    memory_store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = FakeStripe()
    taker = PaybackTaker(gateway, memory_store, OutgoingRequests(gateway, memory_store))
    done = anyio.Event()
    tries = 0

    async def sleep(seconds: float) -> None:
        """The pause between two looks."""
        if tries == 2:
            done.set()
            await anyio.sleep_forever()

    async def take_due() -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise StoreUnavailableError("gone")
        return 0

    monkeypatch.setattr("gatekeeper.stripe.selling.paybacks.anyio.sleep", sleep)
    monkeypatch.setattr(taker, "take_due", take_due)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(taker.run)
        await done.wait()
        tasks.cancel_scope.cancel()
    assert "taking paybacks was interrupted" in caplog.text
