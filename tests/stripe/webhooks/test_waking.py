"""Waking what dispatches elsewhere: soon, one call at a time, and never in the way."""

import anyio
import pytest

from gatekeeper.errors import RegistrationError
from gatekeeper.stripe.webhooks import waking
from gatekeeper.stripe.webhooks.waking import Waking
from gatekeeper.testing.events import make_event
from tests.gates import new_gate
from tests.stripe.world import World

pytestmark = pytest.mark.anyio


class Called:
    """A function of the host's that waits until it is let go."""

    def __init__(self) -> None:
        self.count = 0
        self.begun = anyio.Event()
        self.go_on = anyio.Event()

    async def __call__(self) -> None:
        self.count += 1
        self.begun.set()
        await self.go_on.wait()


async def test_what_comes_during_a_call_is_one_more_call() -> None:
    woken, called = Waking(), Called()
    woken.tell()  # nobody is there to be told
    await woken.settled()
    woken.call = called
    woken.tell()
    await called.begun.wait()
    for _ in range(5):
        woken.tell()
    called.go_on.set()
    await woken.settled()
    assert called.count == 2
    woken.tell()
    await woken.settled()
    assert called.count == 3


async def test_a_call_that_fails_or_hangs_is_logged_and_the_next_is_made(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(waking, "TIMEOUT_SECONDS", 0.01)
    woken = Waking()
    calls: list[str] = []

    async def fail() -> None:
        calls.append("called")
        if len(calls) == 1:
            raise RuntimeError("no queue")
        await anyio.sleep_forever()

    woken.call = fail
    for count in (1, 2):
        woken.tell()
        await woken.settled()
        assert len(calls) == count
    assert caplog.text.count("could not be woken") == 2


async def test_events_are_answered_while_the_call_hangs(memory_world: World) -> None:
    """What is stored, replayed or retried wakes; what is of the other mode does not."""
    receiver = memory_world.receiver
    called = receiver.waking.call = Called()
    charge = {"id": "ch_1", "object": "charge"}
    await memory_world.send(make_event("charge.succeeded", charge, livemode=True))
    assert called.count == 0
    event = make_event("charge.succeeded", charge)
    assert await memory_world.send(event) == [True]
    await called.begun.wait()
    await receiver.drain()
    assert await receiver.events.retry(event["id"])
    called.go_on.set()
    await receiver.waking.settled()
    assert called.count == 2


async def test_a_gate_has_one_such_function() -> None:
    gate = new_gate("sqlite:///none.db")

    @gate.on_accepted
    async def first() -> None:
        """Nothing."""

    with pytest.raises(RegistrationError, match="already"):
        gate.on_accepted(first)
