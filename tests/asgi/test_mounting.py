"""A bare ASGI app under a gate: its lifespan, and the billing routes beside it."""

from typing import Any

import pytest

from gatekeeper import Gatekeeper, asgi
from gatekeeper.asgi import Receive, Scope, Send
from gatekeeper.errors import ConfigurationError, NoGateError
from gatekeeper.testing.clock import ManualClock
from tests.adapters.driver import LifespanError, client_of, http_scope, lifespan
from tests.asgi.apps import by_header
from tests.gates import new_gate

pytestmark = pytest.mark.anyio


@pytest.fixture
def closed_gate(migrated_sqlite_url: str, clock: ManualClock) -> Gatekeeper:
    gate = new_gate(migrated_sqlite_url, clock=clock)
    by_header(gate)
    return gate


class HostApp:
    """An app with a lifespan of its own, which needs the gate in it."""

    def __init__(self, gate: Gatekeeper, *, fails: str | None = None, raises: bool = False) -> None:
        self.gate = gate
        self.seen: list[str] = []
        self._fails = fails
        self._raises = raises

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"host"})
            return
        for phase in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{phase}"
            self.seen.append(f"{phase} open={self.gate.is_open}")
            if self._fails == phase:
                if self._raises:
                    raise RuntimeError(f"no {phase}")
                await send({"type": f"lifespan.{phase}.failed", "message": f"no {phase}"})
                return
            await send({"type": f"lifespan.{phase}.complete"})


async def test_a_lifespan_of_the_apps_own_runs_inside_the_gates(closed_gate: Gatekeeper) -> None:
    host = HostApp(closed_gate)
    async with client_of(asgi.install(host, closed_gate, app_has_lifespan=True)) as client:
        assert (await client.get("/anything")).text == "host"
    assert host.seen == ["startup open=True", "shutdown open=True"]
    assert not closed_gate.is_open


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("phase", ["startup", "shutdown"])
async def test_a_lifespan_that_fails_is_told_to_the_server_in_its_phase(
    closed_gate: Gatekeeper, phase: str, raises: bool
) -> None:
    host = HostApp(closed_gate, fails=phase, raises=raises)
    app = asgi.install(host, closed_gate, app_has_lifespan=True)
    sent: list[Any] = []
    steps = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(steps)

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "lifespan"}, receive, send)
    assert sent[-1] == {"type": f"lifespan.{phase}.failed", "message": f"no {phase}"}
    assert [m["type"] for m in sent[:-1]] == (
        [] if phase == "startup" else ["lifespan.startup.complete"]
    )
    assert not closed_gate.is_open


async def test_a_gate_can_be_opened_again_and_only_once_at_a_time(
    closed_gate: Gatekeeper, redis_url: str, migrated_sqlite_url: str
) -> None:
    for gate in (closed_gate, new_gate(migrated_sqlite_url, redis_url=redis_url)):
        for _ in range(2):
            async with gate:
                assert (await gate.entitlements("org_1")).plans == {"free"}
                with pytest.raises(ConfigurationError, match="open already"):
                    await gate.__aenter__()
                with pytest.raises(ConfigurationError, match="open already"):
                    async with gate.connected():
                        pass
                assert gate.is_open
            assert not gate.is_open
            async with gate.connected() as connected:
                assert await connected.balances("org_1")


async def test_a_request_before_the_gate_is_open_says_what_is_missing(
    closed_gate: Gatekeeper,
) -> None:
    app = asgi.GatekeeperMiddleware(_reserving, closed_gate)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    await app(http_scope("GET", "/"), receive, send)
    assert sent[0]["status"] == 500
    assert b"no_gate" in sent[1]["body"]
    with pytest.raises(NoGateError, match=r"lifespan=gate\.lifespan"):
        await closed_gate.keeper.make(None)  # type: ignore[arg-type]  # it gets no further


async def _reserving(scope: Scope, receive: Receive, send: Send) -> None:
    from gatekeeper import reserve

    await reserve("credits", 1)


async def test_the_gate_without_an_identify_says_what_is_missing(
    migrated_sqlite_url: str, clock: ManualClock
) -> None:
    gate = new_gate(migrated_sqlite_url, clock=clock)
    async with client_of(asgi.install(_no_app, gate)) as client:
        answer = await client.get("/billing/me")
    assert (answer.status_code, answer.json()["code"]) == (500, "no_gate")
    assert "detail" in answer.json()


async def _no_app(scope: Scope, receive: Receive, send: Send) -> None:
    pytest.fail("it was not for the app")


async def test_a_prefix_is_not_taken_for_the_beginning_of_another_path(
    closed_gate: Gatekeeper,
) -> None:
    app = asgi.install(HostApp(closed_gate), closed_gate, prefix="/pay")
    async with client_of(app) as client:
        assert (await client.get("/payments")).text == "host"
        assert (await client.get("/billing/me")).text == "host"
        assert (await client.get("/pay/me")).status_code == 200
        assert (await client.get("/pay/nothing")).status_code == 404
        assert (await client.put("/pay/checkout")).status_code == 405


async def test_a_start_that_fails_leaves_the_gate_closed(tmp_path: Any) -> None:
    gate = new_gate(f"sqlite:///{tmp_path / 'no_schema.db'}")
    app = asgi.install(_no_app, gate)
    with pytest.raises(LifespanError, match="gatekeeper db upgrade"):
        async with lifespan(app):
            pytest.fail("it has started")
    assert not gate.is_open
    assert not gate.tasks._work
