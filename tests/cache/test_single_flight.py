"""Single flight, at the edges: the end of a flight, lost cancellations, errors nobody waits for."""

import asyncio
import gc

import pytest

from gatekeeper.cache import _tasks
from gatekeeper.cache._single_flight import SingleFlight
from gatekeeper.cache._tasks import cancel_and_wait
from gatekeeper.errors import UnavailableError
from gatekeeper.testing.conformance.cache import eventually

pytestmark = pytest.mark.anyio


async def test_nobody_joins_work_that_has_ended() -> None:
    """Not even in the same turn of the loop, before the callbacks of its task have run."""
    flights: SingleFlight[int] = SingleFlight()
    go = asyncio.Event()

    async def first() -> int:
        await go.wait()
        return 1

    async def second() -> int:
        return 2

    async def late() -> int:
        await go.wait()
        assert len(flights) == 0
        return await flights.run("key", second)

    early_caller = asyncio.create_task(flights.run("key", first))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    late_caller = asyncio.create_task(late())
    await asyncio.sleep(0)
    go.set()
    assert await early_caller == 1
    assert await late_caller == 2


async def test_work_that_is_cancelled_before_its_first_step_leaves_the_key_free() -> None:
    flights: SingleFlight[int] = SingleFlight()

    async def work() -> int:
        return 1

    caller = asyncio.create_task(flights.run("key", work))
    await asyncio.sleep(0)
    await flights.aclose()
    with pytest.raises(UnavailableError):
        await caller
    assert len(flights) == 0
    assert await flights.run("key", work) == 1


async def test_an_error_that_nobody_waits_for_is_no_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    flights: SingleFlight[int] = SingleFlight()
    go = asyncio.Event()

    async def work() -> int:
        await go.wait()
        raise ValueError("nobody is there")

    caller = asyncio.create_task(flights.run("key", work))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait((caller,))
    go.set()
    await eventually(lambda: len(flights) == 0)
    del caller
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_a_task_that_loses_a_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_tasks, "CANCEL_AGAIN_SECONDS", 0.001)
    losses = 0

    async def deaf() -> None:
        nonlocal losses
        while losses < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                losses += 1
        await asyncio.Event().wait()

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await cancel_and_wait([task])
    assert task.cancelled()
    assert losses == 2
