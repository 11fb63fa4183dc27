"""The simulator as a process, and its controls."""

import socket
import subprocess
import sys
import threading
from datetime import timedelta
from typing import Any

import httpx
import pytest

from gatekeeper.testing.stripe import ServerThread, Settings, Simulator
from gatekeeper.testing.stripe.server import _uvicorn
from tests.testing.stripe.receiver import Receiver
from tests.testing.stripe.shop import new_session, subscribe
from tests.testing.stripe.test_refunds import pay

pytestmark = pytest.mark.anyio


def post(sim: Simulator, name: str, **body: Any) -> httpx.Response:
    return httpx.post(f"{sim.url}/_sim/{name}", json=body)


def test_the_controls(client: Any, stripe_sim: Simulator, receiver: Receiver) -> None:
    now = httpx.get(f"{stripe_sim.url}/_sim/now").json()["now"]
    assert now == stripe_sim.now.isoformat()
    session = new_session(client)
    paid = post(stripe_sim, "checkout", session=session.id, card="4242424242424242")
    assert paid.json()["status"] == "complete"
    assert post(stripe_sim, "pause").json() == {"held": True}
    assert post(stripe_sim, "deliver").json() == {"attempts": 0}
    found = httpx.get(f"{stripe_sim.url}/_sim/events", params={"type": "invoice.paid"})
    (event,) = found.json()["events"]
    assert post(stripe_sim, "redeliver", event=event["id"], times=2).json() == {"deliveries": 2}
    assert post(stripe_sim, "drop", event=event["id"]).json() == {"dropped": 3}
    waiting = httpx.get(f"{stripe_sim.url}/_sim/deliveries").json()
    assert len(waiting["waiting"]) == len(stripe_sim.events()) - 1
    assert post(stripe_sim, "resume").json() == {"held": False}
    assert post(stripe_sim, "advance", days=31).status_code == 200
    assert "invoice.paid" in receiver.types
    log = httpx.get(f"{stripe_sim.url}/_sim/deliveries").json()["log"]
    assert log[0]["status"] == 200
    later = (stripe_sim.now + timedelta(days=1)).isoformat()
    assert post(stripe_sim, "advance", to=later).json() == {"now": later}


def test_a_test_acts_from_another_process(client: Any, stripe_sim: Simulator) -> None:
    intent = pay(client)
    made = post(stripe_sim, "act", do="dispute", payment=intent.id, amount=200).json()
    assert (made["object"], made["amount"]) == ("dispute", 200)
    closed = post(stripe_sim, "act", do="close_dispute", dispute=made["id"], status="won")
    assert closed.json()["status"] == "won"
    assert post(stripe_sim, "act", do="stall_refunds").json() == {"done": "stall_refunds"}
    for wrong in ("_acting", "hold", "complete_checkout", "__init__"):
        assert post(stripe_sim, "act", do=wrong).status_code == 400
    assert post(stripe_sim, "act", do="dispute", payment="pi_none").status_code == 404


def test_bad_controls_are_a_4xx(stripe_sim: Simulator) -> None:
    assert post(stripe_sim, "drop").status_code == 400
    assert post(stripe_sim, "advance", days="x").status_code == 400
    assert post(stripe_sim, "advance", to="soon").status_code == 400
    assert post(stripe_sim, "redeliver", event="evt_none").status_code == 404
    url = f"{stripe_sim.url}/_sim/drop"
    for content in (b"{", b"[]"):
        assert httpx.post(url, content=content).status_code == 400


def test_one_server_serves_one_simulator_after_the_other() -> None:
    with ServerThread() as server:
        first = server.mount(Simulator(seed=1))
        first.client().v1.customers.create({})
        second = server.mount(Simulator(seed=1))
        assert second.client().v1.customers.list().data == []
        assert first.url == second.url == server.url


def test_a_server_without_a_simulator_is_a_500() -> None:
    with ServerThread() as server:
        assert httpx.get(server.url).status_code == 500


def test_a_server_that_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ServerThread()
    monkeypatch.setattr(server, "_thread", threading.Thread(target=lambda: None))
    with pytest.raises(RuntimeError, match="did not start"):
        server.__enter__()
    server._socket.close()


def test_without_uvicorn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ImportError, match=r"gatekeeper-entitlements\[testing\]"):
        _uvicorn()


def test_as_a_process_webhooks_leave_by_themselves(free_port: int) -> None:
    arrived = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/webhooks"
        heads: list[bytes] = []

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                heads.append(connection.recv(65_536))
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            arrived.set()

        thread = threading.Thread(target=answer)
        thread.start()
        program = (
            "from gatekeeper.testing.stripe import run;"
            f"run(port={free_port}, webhook_url={url!r}, webhook_secret='whsec_x', seed=1)"
        )
        process = subprocess.Popen([sys.executable, "-c", program])
        try:
            sim = Simulator(Settings(public_url=f"http://127.0.0.1:{free_port}"))
            client = sim.client(max_network_retries=8)
            client.v1.customers.create({})
            assert arrived.wait(30)
            assert b"stripe-signature: t=" in heads[0].lower()
        finally:
            process.terminate()
            process.wait(10)
            thread.join(10)


async def test_the_lifespan_runs_due_moments_and_deliveries() -> None:
    sim = Simulator(seed=1, auto_deliver=True)
    receiver = Receiver(sim)
    async with sim.app.router.lifespan_context(sim.app):
        with ServerThread() as server:
            server.mount(sim)
            subscribe(sim.client())
        while sim.undelivered():
            await _breathe()
    assert receiver.types[-1] == "customer.subscription.updated"


async def _breathe() -> None:
    import anyio

    await anyio.sleep(0.01)
