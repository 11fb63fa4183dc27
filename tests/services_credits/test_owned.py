"""Tasks of the gate's own: they outlive a request, and end with the gate."""

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from gatekeeper.errors import ConflictError, NoGateError, ShuttingDownError
from gatekeeper.services import owned
from gatekeeper.services.owned import OwnedTasks

pytestmark = pytest.mark.anyio


async def test_work_goes_on_when_whoever_waits_is_cancelled() -> None:
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go_on.wait()
        done.set()

    async with OwnedTasks() as tasks:
        waiting = asyncio.create_task(tasks.run(work()))
        await begun.wait()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        go_on.set()
    assert done.is_set()  # closing has waited for it


async def test_what_work_returns_or_raises_reaches_whoever_waits() -> None:
    async def seven() -> int:
        return 7

    async def conflict() -> int:
        raise ConflictError

    async with OwnedTasks() as tasks:
        assert await tasks.run(seven()) == 7
        with pytest.raises(ConflictError):
            await tasks.run(conflict())


async def test_a_failure_that_nobody_waits_for_is_logged_unless_it_is_a_refusal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def raising(error: Exception) -> None:
        raise error

    async with OwnedTasks() as tasks:
        tasks.leave(raising(ConflictError("a refusal")))
        tasks.leave(raising(RuntimeError("a bug")))
        await tasks.drained()
    assert "a bug" in caplog.text
    assert "a refusal" not in caplog.text


async def test_before_and_after_its_life_it_takes_no_work() -> None:
    tasks = OwnedTasks()

    async def never() -> None:
        pytest.fail("it ran")

    with pytest.raises(NoGateError):
        tasks.leave(never())
    async with tasks:
        pass
    with pytest.raises(ShuttingDownError):
        tasks.leave(never())
    async with tasks:  # a gate may be opened again
        await tasks.run(asyncio.sleep(0))


async def test_closing_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owned, "DRAIN_SECONDS", 0.01)
    ended: list[str] = []

    async def stuck() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async with OwnedTasks() as tasks:
        tasks.leave(stuck())
        await asyncio.sleep(0)
    assert ended == ["cancelled"]


async def test_a_loop_that_fails_is_started_again_and_ends_with_the_gate(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(owned, "RESTART_SECONDS", 0)
    runs: list[int] = []
    thrice = asyncio.Event()
    outcomes: list[Callable[[], Any]] = [_bug, _returns]

    async def run() -> None:
        runs.append(1)
        if outcomes:
            outcomes.pop(0)()
            return
        thrice.set()
        await asyncio.Event().wait()

    async with OwnedTasks() as tasks:
        tasks.loop(run, "a loop")
        await thrice.wait()
        (loop,) = tasks._loops
    assert loop.cancelled()
    assert len(runs) == 3
    assert caplog.text.count("a loop failed") == 1


async def test_a_loop_that_fails_as_it_is_stopped_is_not_started_again() -> None:
    begun: list[int] = []
    running = asyncio.Event()

    async def run() -> None:
        begun.append(1)
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            _bug()

    with anyio.fail_after(10):
        async with OwnedTasks() as tasks:
            tasks.loop(run, "a loop")
            await running.wait()
    assert begun == [1]


def _bug() -> None:
    raise RuntimeError("a bug")


def _returns() -> None: ...
