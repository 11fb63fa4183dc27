"""When the holds of a request are settled, to the message; on SQLite and PostgreSQL."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gatekeeper import Gatekeeper, Reservation, consumes, consumes_credits, current, reserve
from gatekeeper.asgi import GatekeeperMiddleware, Receive, Scope, Send
from gatekeeper.errors import (
    CreditsRequiredError,
    HoldEndedError,
    NoGateError,
    StoreUnavailableError,
)
from gatekeeper.testing.clock import ManualClock
from tests.asgi.apps import app_of, ask, by_header
from tests.gates import CUSTOMER, Books, available, held, new_gate

pytestmark = pytest.mark.anyio


@pytest.fixture
async def gate(gate_url: str, clock: ManualClock) -> AsyncIterator[Gatekeeper]:
    async with new_gate(gate_url, clock=clock) as opened:
        by_header(opened)
        yield opened


@pytest.fixture
def books(gate_url: str, clock: ManualClock) -> Books:
    return Books(gate_url, clock)


async def test_a_fixed_cost_is_captured_before_the_response_starts(gate: Gatekeeper) -> None:
    seen: list[tuple[str, int, int]] = []

    @consumes_credits("image")
    async def handler() -> None:
        seen.append(("handler", await available(gate), await held(gate)))

    async def before_send(message: Any) -> None:
        seen.append((message["type"], await available(gate), await held(gate)))

    await ask(app_of(gate, handler), before_send=before_send)
    assert seen == [
        ("handler", 1, 4),
        ("http.response.start", 1, 0),
        ("http.response.body", 1, 0),
    ]


async def test_case_65_a_fixed_cost_is_released_before_a_bad_response_starts(
    gate: Gatekeeper,
) -> None:
    seen: list[int] = []

    @consumes_credits("image")
    async def handler() -> None: ...

    async def before_send(message: Any) -> None:
        seen.append(await available(gate))

    await ask(app_of(gate, handler, status=500), before_send=before_send)
    assert seen == [5, 5]


@pytest.mark.parametrize(("status", "left"), [(200, 1), (302, 1), (399, 1), (400, 5), (599, 5)])
async def test_below_400_captures_and_from_400_on_releases(
    gate: Gatekeeper, status: int, left: int
) -> None:
    @consumes_credits("image")
    async def handler() -> None: ...

    assert (await ask(app_of(gate, handler, status=status))).status == status
    assert await available(gate) == left


async def test_a_hold_names_the_actor_and_the_request(gate: Gatekeeper, books: Books) -> None:
    @consumes_credits("image")
    async def handler() -> None: ...

    await ask(app_of(gate, handler), "/a b/\x00\ud800é")
    capture = next(entry for entry in await books.entries() if entry.kind == "capture")
    assert (capture.actor, capture.feature) == ("user_7", "image")
    assert capture.reference == "POST /a%20b/%00%3F%C3%A9"


async def test_a_capture_that_fails_refuses_the_answer(
    gate: Gatekeeper, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fail closed: what can't be charged is not given, though the handler has run."""

    @consumes_credits("image")
    async def handler() -> None: ...

    async def capture_all(holds: Any) -> Any:
        raise StoreUnavailableError

    monkeypatch.setattr(gate.credits, "capture_all", capture_all)
    answer = await ask(app_of(gate, handler))
    assert (answer.status, answer.problem["code"]) == (503, "store_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert b"done" not in answer.body.replace(b"can't be done right now", b"")
    await gate.tasks.drained()
    assert await held(gate) == 0
    assert await books.spent() == 0


async def test_a_failed_capture_is_refused_even_if_the_app_swallows_the_error(
    gate: Gatekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def capture_all(holds: Any) -> Any:
        raise HoldEndedError("its time was over")

    monkeypatch.setattr(gate.credits, "capture_all", capture_all)
    guarded = consumes_credits("image")(_nothing)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await guarded()
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        except Exception:  # noqa: BLE001 - a framework that answers every error by itself
            await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"secret", "more_body": True})
        await send({"type": "http.response.body", "body": b"secret"})

    answer = await ask(GatekeeperMiddleware(app, gate))
    assert (answer.status, answer.problem["code"]) == (503, "unavailable")
    assert b"secret" not in answer.body


async def test_a_failed_capture_is_no_crash_if_the_app_wraps_the_error(
    gate: Gatekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def capture_all(holds: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(gate.credits, "capture_all", capture_all)
    guarded = consumes_credits("image")(_nothing)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await guarded()
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        except Exception as error:  # noqa: BLE001 - a framework that wraps every error
            raise ExceptionGroup("wrapped", [ValueError("wrapped again"), error]) from None

    answer = await ask(GatekeeperMiddleware(app, gate))
    assert answer.status == 503


async def test_several_fixed_costs_are_captured_all_or_none(
    gate: Gatekeeper, books: Books, clock: ManualClock
) -> None:
    await gate.grant(CUSTOMER, "exports", 3, reason="test")

    @consumes_credits("image")
    @consumes("exports", 2)
    async def handler() -> None:
        hold_of_exports = current()._fixed[1]
        await gate.release(hold_of_exports.id)  # somebody meddles

    answer = await ask(app_of(gate, handler))
    assert answer.status == 503
    await gate.tasks.drained()
    assert (await available(gate), await available(gate, "exports")) == (5, 3)
    assert await books.spent() == 0

    @consumes_credits("image")
    @consumes("exports", 2)
    async def fine() -> None: ...

    assert (await ask(app_of(gate, fine))).status == 200
    assert (await available(gate), await available(gate, "exports")) == (1, 1)


async def test_a_second_guard_that_refuses_frees_what_the_first_held(gate: Gatekeeper) -> None:
    @consumes_credits("image")
    @consumes("exports", 2)
    async def handler() -> None:
        pytest.fail("it ran")

    answer = await ask(app_of(gate, handler))
    assert (answer.status, answer.problem["unit"]) == (402, "exports")
    assert (await available(gate), await held(gate)) == (5, 0)


# -- idempotency ----------------------------------------------------------------------------------


async def test_case_66_while_the_first_runs_the_second_is_a_409(gate: Gatekeeper) -> None:
    running, go_on = asyncio.Event(), asyncio.Event()

    @consumes_credits("image")
    async def handler() -> None:
        running.set()
        await go_on.wait()

    app = app_of(gate, handler)
    first = asyncio.create_task(ask(app, idempotency_key="k"))
    await running.wait()
    second = await ask(app, idempotency_key="k")
    assert (second.status, second.problem["code"]) == (409, "conflict")
    go_on.set()
    assert (await first).status == 200
    third = await ask(app, idempotency_key="k")
    assert (third.status, third.problem["code"]) == (409, "already_settled")
    assert await available(gate) == 1


async def test_case_66_after_a_release_the_key_may_be_used_again(gate: Gatekeeper) -> None:
    statuses = iter([500, 200])

    @consumes_credits("image")
    async def handler() -> None: ...

    for status in statuses:
        assert (await ask(app_of(gate, handler, status=status), idempotency_key="k")).status == (
            status
        )
    assert await available(gate) == 1


async def test_case_66_a_process_that_died_does_not_block_its_key_for_ever(
    gate: Gatekeeper, clock: ManualClock
) -> None:
    died = asyncio.Event()

    @consumes_credits("image")
    async def handler() -> None:
        if not died.is_set():
            died.set()
            current()._fixed = ()  # nobody settles what this process held
            raise asyncio.CancelledError

    app = app_of(gate, handler)
    with pytest.raises(asyncio.CancelledError):
        await ask(app, idempotency_key="k")
    assert (await ask(app, idempotency_key="k")).status == 409
    clock.advance(minutes=6)
    assert (await ask(app, idempotency_key="k")).status == 200
    assert await available(gate) == 1


async def test_case_66_keys_of_other_routes_and_customers_are_other_keys(gate: Gatekeeper) -> None:
    @consumes("credits", 1)
    async def handler() -> None: ...

    app = app_of(gate, handler)
    assert (await ask(app, "/a", idempotency_key="k")).status == 200
    assert (await ask(app, "/b", idempotency_key="k")).status == 200
    assert (await ask(app, "/a", idempotency_key="k", x_customer="org_43")).status == 200
    assert (await ask(app, "/a", idempotency_key="k")).status == 409


async def test_one_request_may_pay_twice_under_one_key(gate: Gatekeeper) -> None:
    @consumes("credits", 1)
    @consumes("credits", 1)
    async def handler() -> None: ...

    app = app_of(gate, handler)
    assert (await ask(app, idempotency_key="k")).status == 200
    assert await available(gate) == 3
    assert (await ask(app, idempotency_key="k")).status == 409


async def test_two_idempotency_keys_are_a_400(gate: Gatekeeper) -> None:
    guarded = consumes_credits("image")(_nothing)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["headers"] += [(b"Idempotency-Key", b"a"), (b"idempotency-key", b"b")]
        await guarded()

    answer = await ask(GatekeeperMiddleware(app, gate))
    assert (answer.status, answer.problem["code"]) == (400, "invalid_id")


# -- metered holds --------------------------------------------------------------------------------


async def test_a_metered_hold_is_settled_before_the_last_message_is_sent(gate: Gatekeeper) -> None:
    seen: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        hold = await reserve("chat", 3_000)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(2):
            hold.record(500)
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        with pytest.raises(HoldEndedError):
            hold.record(1)

    async def before_send(message: Any) -> None:
        seen.append(await held(gate))

    await ask(GatekeeperMiddleware(app, gate), before_send=before_send)
    assert seen == [3, 3, 3, 0]
    assert await available(gate) == 4


async def test_an_error_in_mid_stream_captures_what_was_recorded(gate: Gatekeeper) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        hold = await reserve("chat", 3_000)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        hold.record(1_001)
        raise RuntimeError("the model is gone")

    with pytest.raises(RuntimeError):
        await ask(GatekeeperMiddleware(app, gate))
    assert (await available(gate), await held(gate)) == (3, 0)


async def test_an_error_of_ours_in_mid_stream_breaks_the_connection(gate: Gatekeeper) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await reserve("credits", 50)

    with pytest.raises(CreditsRequiredError):
        await ask(GatekeeperMiddleware(app, gate))


async def test_a_hold_made_in_mid_stream_is_settled_too(gate: Gatekeeper) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        (await reserve("chat", 3_000)).record(2_000)
        await send({"type": "http.response.body", "body": b""})
        async with reserve("credits", 2) as late:
            late.record(1)

    assert (await ask(GatekeeperMiddleware(app, gate))).status == 200
    assert (await available(gate), await held(gate)) == (2, 0)


async def test_a_block_settles_at_its_end(gate: Gatekeeper) -> None:
    async def record_then_fail() -> None:
        async with reserve("credits", 2) as hold:
            hold.record(1)
            raise ValueError("no")

    async def handler() -> None:
        async with reserve("credits", 2):
            pass
        assert (await available(gate), await held(gate)) == (3, 0)
        async with reserve("credits", 3) as hold:
            hold.record(1)
        assert (await available(gate), await held(gate)) == (2, 0)
        with pytest.raises(ValueError, match="no"):
            async with reserve("credits", 2):
                raise ValueError("no")
        assert (await available(gate), await held(gate)) == (2, 0)
        with pytest.raises(ValueError, match="no"):
            await record_then_fail()
        assert (await available(gate), await held(gate)) == (1, 0)

    assert (await ask(app_of(gate, handler))).status == 200


async def test_partial_takes_what_is_there(gate: Gatekeeper) -> None:
    async def handler() -> None:
        async with reserve("credits", 50, partial=True) as hold:
            assert hold.amount == 5

    await ask(app_of(gate, handler))
    assert await available(gate) == 0


async def test_a_block_that_outlives_its_request_is_freed_and_hears_of_it(gate: Gatekeeper) -> None:
    """A stream that nobody reads on keeps its block open: its hold must not leak."""
    inside, go_on = asyncio.Event(), asyncio.Event()
    heard: list[BaseException] = []

    async def outliving() -> None:
        try:
            async with reserve("credits", 2) as hold:
                inside.set()
                await go_on.wait()
                hold.record(1)
        except HoldEndedError as error:
            heard.append(error)

    tasks: list[asyncio.Task[None]] = []

    async def handler() -> None:
        tasks.append(asyncio.create_task(outliving()))
        await inside.wait()

    await ask(app_of(gate, handler))
    assert (await available(gate), await held(gate)) == (5, 0)
    go_on.set()
    await asyncio.gather(*tasks)
    assert len(heard) == 1


async def test_a_reserve_after_its_request_is_refused_and_leaves_no_hold(gate: Gatekeeper) -> None:
    ended = asyncio.Event()

    async def outliving() -> Reservation:
        await ended.wait()
        return await reserve("credits", 2)

    tasks: list[asyncio.Task[Reservation]] = []

    async def handler() -> None:
        tasks.append(asyncio.create_task(outliving()))

    await ask(app_of(gate, handler))
    ended.set()
    with pytest.raises(NoGateError, match="outlives its request"):
        await tasks[0]
    await gate.tasks.drained()
    assert await held(gate) == 0


async def test_use_beyond_the_hold_is_capped_and_logged(
    gate: Gatekeeper, caplog: pytest.LogCaptureFixture
) -> None:
    """Case 56, on the road of a request."""

    async def handler() -> None:
        (await reserve("chat", 2_000)).record(7_000)

    await ask(app_of(gate, handler))
    assert await available(gate) == 3
    assert "5 credits were used beyond the 2 held" in caplog.text


# -- cancellation ---------------------------------------------------------------------------------


async def test_a_cancelled_request_is_settled_in_the_gates_own_tasks(gate: Gatekeeper) -> None:
    running = asyncio.Event()

    @consumes_credits(1)
    async def handler() -> None:
        (await reserve("chat", 3_000)).record(1_500)
        running.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(ask(app_of(gate, handler)))
    await running.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    await gate.tasks.drained()
    assert (await available(gate), await held(gate)) == (3, 0)


async def test_a_request_cancelled_while_its_hold_is_made_leaves_none(gate: Gatekeeper) -> None:
    async def handler() -> None:
        await reserve("credits", 3)

    for _ in range(10):
        task = asyncio.create_task(ask(app_of(gate, handler)))
        while "gatekeeper batch" not in {t.get_name() for t in asyncio.all_tasks()}:
            assert not task.done()
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await gate.credits.drained()
        assert (await available(gate), await held(gate)) == (5, 0)


async def test_a_settlement_that_fails_is_logged_and_tried_again(
    gate: Gatekeeper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler() -> None:
        (await reserve("chat", 3_000)).record(2_000)

    capture = gate.credits.capture

    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailableError

    monkeypatch.setattr(gate.credits, "capture", away)
    answer = await ask(app_of(gate, handler))
    assert answer.status == 200  # it was streamed: too late to refuse it
    assert "was not settled" in caplog.text
    assert await held(gate) == 3
    await gate.keeper.settle_late()
    assert await held(gate) == 3
    monkeypatch.setattr(gate.credits, "capture", capture)
    await gate.keeper.settle_late()
    assert (await available(gate), await held(gate)) == (3, 0)


async def test_holds_of_running_requests_are_renewed(gate: Gatekeeper, clock: ManualClock) -> None:
    async def handler() -> None:
        hold = await reserve("chat", 3_000)
        for _ in range(4):
            clock.advance(minutes=4)
            await gate.keeper.renew()
            await gate.credits.expire_holds()
        hold.record(1_000)

    await ask(app_of(gate, handler))
    assert (await available(gate), await held(gate)) == (4, 0)


async def test_a_request_without_holds_starts_no_task(
    gate: Gatekeeper, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "gatekeeper")

    async def handler() -> None:
        await current().entitlements()

    await ask(app_of(gate, handler))
    assert not gate.tasks._work
    assert not [record for record in caplog.records if record.name == "gatekeeper"]


async def test_outside_of_a_request_there_is_no_current_gate() -> None:
    with pytest.raises(NoGateError, match="Install the middleware"):
        current()
    with pytest.raises(NoGateError):
        await reserve("credits")


async def _nothing() -> None: ...
