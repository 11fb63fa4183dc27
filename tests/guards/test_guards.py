"""Guards: what is refused when they are written, and what they accept."""

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from gatekeeper import (
    Gatekeeper,
    Identity,
    Signal,
    checks_of,
    consumes,
    consumes_credits,
    current,
    requires_feature,
    requires_plan,
    reserve,
)
from gatekeeper.asgi import GatekeeperMiddleware, Receive, Scope, Send
from gatekeeper.errors import (
    GuardPlacementError,
    InvalidAmountError,
    InvalidIdError,
    NoGateError,
    UnknownNameError,
)
from gatekeeper.guards import ConsumeCheck, PlanCheck, check_placement
from tests.asgi.apps import app_of, ask, by_header
from tests.gates import CUSTOMER, available, new_gate

pytestmark = pytest.mark.anyio


# -- case 59 and bad amounts: refused at decoration -----------------------------------------------


async def test_case_59_unknown_names_are_refused_when_they_decorate(gate: Gatekeeper) -> None:
    unknown: list[Callable[[], object]] = [
        lambda: gate.requires_plan("platinum"),
        lambda: gate.requires_feature("teleportation"),
        lambda: gate.consumes("teleports"),
        lambda: gate.consumes_credits("teleport"),
        lambda: gate.consumes("downloads"),  # a feature is no unit
        lambda: gate.requires_plan("downloads"),
    ]
    for make in unknown:
        with pytest.raises(UnknownNameError):
            make()


@pytest.mark.parametrize("amount", [0, -1, 2**53, 1.5, True, None])
async def test_amounts_that_can_t_be_are_refused_when_they_decorate(
    gate: Gatekeeper, amount: Any
) -> None:
    with pytest.raises(InvalidAmountError):
        gate.consumes("credits", amount)


async def test_case_59_a_bare_name_that_is_unknown_is_refused_when_it_runs(
    gate: Gatekeeper,
) -> None:
    """Where there is no router to check at start-up."""
    by_header(gate)
    for guard in (
        requires_plan("platinum"),
        requires_feature("teleportation"),
        consumes("teleports"),
        consumes_credits("teleport"),
    ):

        @guard
        async def handler() -> None:
            pytest.fail("it ran")

        answer = await ask(app_of(gate, handler))
        assert (answer.status, answer.problem["code"]) == (400, "unknown_name")


async def test_case_59_the_sdk_refuses_unknown_names(gate: Gatekeeper) -> None:
    for call in (
        gate.allows(CUSTOMER, "teleportation"),
        gate.balance(CUSTOMER, "teleports"),
        gate.grant(CUSTOMER, "teleports", 1, reason="test"),
        gate.customers.override_plan(CUSTOMER, "platinum"),
        gate.customers.override_feature(CUSTOMER, "teleportation"),
        gate.customers.override_limit(CUSTOMER, "teleporters", 1),
    ):
        with pytest.raises(UnknownNameError):
            await call


async def test_case_57_an_action_of_unknown_cost_is_refused_not_free(gate: Gatekeeper) -> None:
    with pytest.raises(UnknownNameError):
        await gate.reserve(CUSTOMER, "video", 1)
    assert await available(gate) == 5


# -- what can be guarded --------------------------------------------------------------------------


async def test_a_guard_keeps_name_documentation_and_signature(gate: Gatekeeper) -> None:
    @gate.requires_plan("pro")
    @gate.consumes_credits("image")
    def paint(prompt: str, size: int = 512) -> bytes:
        """Paint."""
        return b""

    assert paint.__name__ == "paint"
    assert paint.__doc__ == "Paint."
    assert list(inspect.signature(paint).parameters) == ["prompt", "size"]
    assert inspect.iscoroutinefunction(paint)
    assert checks_of(paint) == (PlanCheck("pro"), ConsumeCheck("image"))


async def test_a_generator_is_refused(gate: Gatekeeper) -> None:
    def stream() -> Any:
        yield b""

    async def async_stream() -> Any:
        yield b""

    for generator in (stream, async_stream, functools.partial(stream)):
        with pytest.raises(GuardPlacementError, match="generator"):
            gate.requires_plan("pro")(generator)


async def test_what_is_no_function_is_refused(gate: Gatekeeper) -> None:
    class Route:
        def __call__(self) -> None: ...

    for thing in (Route(), Route, "handler"):
        with pytest.raises(GuardPlacementError, match="below the route decorator"):
            gate.requires_plan("pro")(thing)  # type: ignore[type-var]  # what is tested


async def test_a_hosts_own_decorator_hides_neither_a_check_nor_a_missing_guard(
    gate: Gatekeeper,
) -> None:
    def logged(handler: Any) -> Any:
        @functools.wraps(handler)
        async def wrapper(*args: Any) -> Any:
            return await handler(*args)

        return wrapper

    async def original() -> None: ...

    guarded = gate.requires_plan("pro")(original)
    other = gate.requires_feature("beta")(original)
    for fine in (guarded, other, logged(guarded), gate.requires_plan("team")(logged(guarded))):
        check_placement([("/x", fine)])
    assert checks_of(logged(guarded)) == (PlanCheck("pro"),)
    for unguarded in (original, logged(original)):
        with pytest.raises(GuardPlacementError, match="original is served without its guard"):
            check_placement([("/x", unguarded)])


async def test_what_is_no_handler_of_ours_has_no_checks(gate: Gatekeeper) -> None:
    assert checks_of((1, 2)) == ()  # type: ignore[arg-type]  # what is tested
    gate.requires_plan("pro")(len)
    check_placement([("/x", len)])


async def test_partials_methods_and_functions_that_return_awaitables_work(
    gate: Gatekeeper,
) -> None:
    by_header(gate)

    class Painter:
        @requires_plan("free")
        async def method(self, x: int) -> int:
            return x

        @requires_plan("free")
        def sync_method(self, x: int) -> int:
            return x + 1

    async def add(x: int, y: int) -> int:
        return x + y

    def awaitable(x: int) -> Any:
        return add(x, 1)

    painter = Painter()
    handlers: list[Any] = [
        painter.method,
        painter.sync_method,
        gate.requires_plan("free")(functools.partial(add, 1)),
        gate.requires_plan("free")(functools.partial(awaitable)),
        gate.requires_plan("free")(painter.method),
    ]
    seen: list[int] = []

    async def handler() -> None:
        seen.extend([await each(5) for each in handlers])

    await ask(app_of(gate, handler))
    assert seen == [5, 6, 6, 6, 5]


async def test_a_synchronous_handler_runs_beside_the_event_loop(gate: Gatekeeper) -> None:
    by_header(gate)
    threads: list[int] = []

    @requires_plan("free")
    def handler() -> Any:
        assert current().gate is gate
        threads.append(threading.get_ident())

    await ask(app_of(gate, handler))
    assert threads != [threading.get_ident()]


async def test_a_guarded_handler_outside_of_a_request_says_what_is_missing(
    gate: Gatekeeper,
) -> None:
    @gate.requires_plan("free")
    async def handler() -> None:
        pytest.fail("it ran")

    with pytest.raises(NoGateError):
        await handler()


# -- who asks -------------------------------------------------------------------------------------


async def test_the_host_is_asked_once_for_each_request(gate: Gatekeeper) -> None:
    asked = 0

    @gate.identify
    async def who(connection: HTTPConnection) -> Identity:
        nonlocal asked
        asked += 1
        return Identity(CUSTOMER, "user_7")

    @requires_plan("free")
    @consumes("credits", 1)
    async def handler() -> None:
        assert (await current().identity()).actor == "user_7"
        assert (await current().entitlements()).customer == CUSTOMER

    await ask(app_of(gate, handler))
    assert asked == 1


async def test_a_hit_asks_no_database(gate: Gatekeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    by_header(gate)
    await gate.customers.override_plan(CUSTOMER, "pro")
    await gate.entitlements(CUSTOMER)

    async def read(work: object) -> object:
        pytest.fail("the database was asked")

    monkeypatch.setattr(gate._parts.store, "read", read)

    @requires_plan("pro")
    @requires_feature("downloads")
    async def handler() -> None:
        assert await gate.allows(CUSTOMER, "downloads")

    assert (await ask(app_of(gate, handler))).status == 200


async def test_identify_may_be_synchronous_and_return_an_id(gate: Gatekeeper) -> None:
    @gate.identify
    def who(connection: HTTPConnection) -> str:
        return CUSTOMER

    @requires_plan("free")
    async def handler() -> None: ...

    assert (await ask(app_of(gate, handler))).status == 200


@pytest.mark.parametrize("found", ["", "a\x00b", "a\r\nb", "x" * 256, " a", "\ud800"])
async def test_a_host_that_names_an_impossible_customer_is_a_400(
    gate: Gatekeeper, found: Any
) -> None:
    @gate.identify
    async def who(connection: HTTPConnection) -> Any:
        return found

    for guard in (requires_plan("free"), consumes("credits", 1), requires_feature("beta")):

        @guard
        async def handler() -> None:
            pytest.fail("it ran")

        answer = await ask(app_of(gate, handler))
        assert (answer.status, answer.problem["code"]) == (400, "invalid_id")


async def test_a_host_that_names_no_customer_at_all_is_told_so(gate: Gatekeeper) -> None:
    @gate.identify
    async def who(connection: HTTPConnection) -> Any:
        return 7

    @requires_plan("free")
    async def handler() -> None:
        pytest.fail("it ran")

    answer = await ask(app_of(gate, handler))
    assert (answer.status, answer.problem["code"]) == (500, "configuration_error")


@pytest.mark.parametrize("quantity", [0, -1, 2**53, 1.5, "3", None, True])
async def test_a_cost_function_that_returns_nonsense_is_refused(
    gate: Gatekeeper, quantity: Any
) -> None:
    by_header(gate)

    async def cost(connection: HTTPConnection) -> Any:
        return quantity

    @gate.consumes_credits(cost)
    async def handler() -> None:
        pytest.fail("it ran")

    answer = await ask(app_of(gate, handler))
    assert (answer.status, answer.problem["code"]) == (400, "invalid_amount")
    assert await available(gate) == 5


async def test_a_customer_who_was_deleted_is_refused(gate: Gatekeeper) -> None:
    by_header(gate)
    await gate.customers.ensure(CUSTOMER)
    await gate.customers.delete(CUSTOMER)
    for guard in (requires_plan("free"), consumes("credits", 1)):

        @guard
        async def handler() -> None:
            pytest.fail("it ran")

        answer = await ask(app_of(gate, handler))
        assert (answer.status, answer.problem["code"]) == (404, "customer_not_found")


async def test_an_identity_is_checked_when_it_is_made() -> None:
    with pytest.raises(InvalidIdError, match="actor"):
        Identity(CUSTOMER, "a\nb")


# -- websockets, where they differ ----------------------------------------------------------------


async def _websocket(gate: Gatekeeper, app: Any, incoming: list[Any]) -> list[Any]:
    sent: list[Any] = []

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "websocket", "path": "/ws", "headers": [], "extensions": None}
    await GatekeeperMiddleware(app, gate)(scope, receive, send)
    return sent


async def test_a_fixed_cost_of_a_websocket_is_captured_when_it_is_accepted(
    gate: Gatekeeper,
) -> None:
    by_header(gate)
    guarded = consumes("credits", 2)(_connected)
    left: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await guarded()
        await send({"type": "websocket.accept"})
        left.append(await available(gate))
        await send({"type": "websocket.close", "code": 1000})

    await _websocket(gate, app, [])
    assert left == [3]


async def test_a_capture_that_fails_refuses_the_websocket(
    gate: Gatekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_header(gate)
    guarded = consumes("credits", 2)(_connected)

    async def capture_all(holds: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(gate.credits, "capture_all", capture_all)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await guarded()
        try:
            await send({"type": "websocket.accept"})
        except Exception:  # noqa: BLE001 - a framework that goes on regardless
            await send({"type": "websocket.send", "text": "secret"})
            await send({"type": "websocket.close", "code": 1000})

    sent = await _websocket(gate, app, [])
    assert sent == [{"type": "websocket.close", "code": 1013, "reason": "unavailable"}]


async def test_an_error_of_ours_closes_an_accepted_websocket_with_a_code(gate: Gatekeeper) -> None:
    by_header(gate)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await consumes("credits", 50)(_connected)()

    sent = await _websocket(gate, app, [])
    assert sent[-1] == {"type": "websocket.close", "code": 1008, "reason": "credits_required"}


async def test_an_error_after_the_websocket_has_closed_is_heard_by_nobody(gate: Gatekeeper) -> None:
    by_header(gate)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        assert (await receive())["type"] == "websocket.disconnect"
        await consumes("credits", 50)(_connected)()

    sent = await _websocket(gate, app, [{"type": "websocket.disconnect", "code": 1001}])
    assert [message["type"] for message in sent] == ["websocket.accept"]


async def test_an_app_that_denies_the_handshake_itself_pays_nothing(gate: Gatekeeper) -> None:
    by_header(gate)
    guarded = consumes("credits", 2)(_connected)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await guarded()
        await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"no"})

    await _websocket(gate, app, [])
    assert await available(gate) == 5


async def _connected() -> None: ...


# -- refusals are told -----------------------------------------------------------------------------


async def test_refusals_are_told_if_somebody_wants_to_hear_of_them(
    migrated_sqlite_url: str,
) -> None:
    heard: list[tuple[str, dict[str, Any]]] = []
    gate = new_gate(migrated_sqlite_url)

    @gate.on("access.denied", name="funnel")
    async def hear(signal: Signal) -> None:
        heard.append((signal.customer, dict(signal.body)))

    @gate.requires_plan("pro")
    async def guarded() -> None: ...

    async def reserves() -> None:
        await reserve("credits", 1_000)

    by_header(gate)
    async with gate:
        for _ in range(3):
            for handler in (guarded, reserves):
                assert (await ask(app_of(gate, handler))).status == 402
        await gate.denials.write()
        await gate.outbox.drain()
    assert sorted(heard, key=str) == [  # they are a sample, and in no order
        (CUSTOMER, {"needs": "credits", "name": "credits"}),
        (CUSTOMER, {"needs": "plan", "name": "pro"}),
    ]
