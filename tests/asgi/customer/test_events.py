"""`GET events`: what has changed, to those whose it is, and to nobody for ever."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from gatekeeper import Gatekeeper
from gatekeeper.asgi import App, BillingOptions, billing_routes
from gatekeeper.asgi.billing.event_stream import EventLimits, server_is_leaving
from gatekeeper.errors import InvalidInputError, StoreUnavailableError
from gatekeeper.services.live import Known, LiveDesk
from gatekeeper.services.live.seen import seen_of
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.sql.store import store_for
from gatekeeper.testing.stripe import Simulator
from tests.adapters.driver import http_scope
from tests.asgi.customer.conftest import CATALOG, Place, new_place_gate, opened_place

pytestmark = pytest.mark.anyio

QUICK = EventLimits(per_customer=2, per_process=3, every_seconds=0.005, heartbeat_seconds=0.05)
PATIENCE_SECONDS = 10


@dataclass
class Reader:
    """A browser that reads events."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""
    is_over: bool = False
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {key.decode(): value.decode() for key, value in message["headers"]}
        else:
            self.text += message["body"].decode()
            self.is_over = not message.get("more_body", False)
        self._moved.set()

    async def until(self, what: Callable[["Reader"], object]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not what(self):
                self._moved.clear()
                await self._moved.wait()

    @property
    def events(self) -> list[tuple[str, Any, str | None]]:
        """What has come: the kind, the data, the id."""
        found = []
        for block in self.text.split("\n\n"):
            lines = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] != ":")
            if lines:
                data = msgspec.json.decode(lines["data"])
                found.append((lines["event"], data, lines.get("id")))
        return found

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.events]

    @property
    def last_id(self) -> str:
        return [event_id for _, _, event_id in self.events if event_id][-1]


def app_of(gate: Gatekeeper, limits: EventLimits = QUICK) -> App:
    return Starlette(
        routes=[Mount("/billing", app=billing_routes(gate, BillingOptions(events=limits)))]
    )


@asynccontextmanager
async def reading(
    app: App, customer: str = "ada", *, method: str = "GET", **headers: str
) -> AsyncIterator[Reader]:
    reader = Reader()
    sent = {"x-customer": customer, **headers}
    scope = http_scope(method, "/billing/events", headers=sent)
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await reader.leave.wait()
        return {"type": "http.disconnect"}

    async def run() -> None:
        await app(scope, receive, reader.send)

    task = asyncio.create_task(run())
    try:
        yield reader
        reader.leave.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await task
    finally:
        task.cancel()


async def spend(place: Place, amount: int, customer: str = "ada") -> None:
    await place.gate.credits.consume(customer, "credits", amount)


async def test_what_changes_is_told_as_it_changes(place: Place) -> None:
    app = app_of(place.gate)
    async with reading(app) as reader:
        await reader.until(lambda r: r.kinds == ["ready"])
        assert (reader.status, reader.headers["content-type"]) == (
            200,
            "text/event-stream; charset=utf-8",
        )
        assert reader.headers["cache-control"] == "no-store"
        await spend(place, 1)
        # A look may fall between the hold and its capture: then both are told.
        await reader.until(lambda r: "balance.changed" in r.kinds)
        _, data, event_id = reader.events[1]
        assert data["balances"]["credits"]["available"] == 4
        assert event_id is not None

        await spend(place, 1)
        await reader.until(lambda r: "credits.low" in r.kinds)
        (low,) = [data for kind, data, _ in reader.events if kind == "credits.low"]
        assert [one["code"] for one in low["warnings"]] == ["credits_low"]

        await place.buy("pro_monthly")
        await reader.until(lambda r: {"payment.settled", "plan.changed"} <= set(r.kinds))
        plan = next(data for kind, data, _ in reader.events if kind == "plan.changed")
        assert (plan["plan"], plan["customer"]) == ("pro", "ada")
        paid = next(data for kind, data, _ in reader.events if kind == "payment.settled")
        assert (paid["amount_minor"], paid["status"]) == (999, "succeeded")
    assert place.gate.live.watching == 0


async def test_time_alone_is_told_of_too(place: Place) -> None:
    await place.buy("topup_100")
    async with reading(app_of(place.gate)) as reader:
        await reader.until(lambda r: r.kinds == ["ready"])
        place.sim.advance(days=6)  # the pack expires, and nobody writes anything
        await reader.until(lambda r: "balance.changed" in r.kinds)
        assert reader.events[-1][1]["balances"]["credits"]["available"] == 5


async def test_who_comes_back_hears_what_they_missed(place: Place) -> None:
    app = app_of(place.gate)
    async with reading(app) as reader:
        await reader.until(lambda r: r.kinds == ["ready"])
    await place.buy("topup_100")
    await spend(place, 1)
    other_process = app_of(place.gate)
    async with reading(other_process, **{"last-event-id": reader.last_id}) as again:
        await again.until(lambda r: r.kinds == ["payment.settled", "balance.changed"])
        assert [event_id is None for _, _, event_id in again.events] == [True, False]
    async with reading(app, **{"last-event-id": again.last_id}) as quiet:
        await quiet.until(lambda r: r.text.count("still here") > 2)
        assert quiet.kinds == []  # nothing is new
    for wrong in ("", "x", "é", "A" * 3_000, "WzFd"):
        async with reading(app, **{"last-event-id": wrong}) as fresh:
            await fresh.until(lambda r: r.kinds == ["ready"])


async def test_a_connection_to_one_process_hears_what_another_has_done(
    stripe_sim: Simulator,
    migrated_sqlite_url: str,
) -> None:
    def store() -> Store:
        return store_for(migrated_sqlite_url, clock=lambda: stripe_sim.now)

    other = new_place_gate(stripe_sim, store())
    async with opened_place(stripe_sim, store()) as place, other, reading(app_of(other)) as reader:
        await reader.until(lambda r: r.kinds == ["ready"])
        await place.buy("pro_monthly")
        await reader.until(lambda r: {"payment.settled", "plan.changed"} <= set(r.kinds))
        assert next(data for kind, data, _ in reader.events if kind == "plan.changed")["plan"] == (
            "pro"
        )


async def test_nobody_hears_of_another_customer(place: Place) -> None:
    app = app_of(place.gate)
    async with reading(app) as ada, reading(app, "eve") as eve:
        for reader in (ada, eve):
            await reader.until(lambda r: r.kinds == ["ready"])
        await place.buy("pro_monthly")
        await spend(place, 1)
        await ada.until(lambda r: "plan.changed" in r.kinds)
        await spend(place, 2, "eve")
        await eve.until(lambda r: "credits.low" in r.kinds)
        assert "ada" not in eve.text
        assert eve.events[1][1]["balances"]["credits"]["available"] == 3
        assert set(eve.kinds) == {"ready", "balance.changed", "credits.low"}


async def test_connections_are_bounded_by_customer_and_process(place: Place) -> None:
    app = app_of(place.gate)
    async with reading(app) as one, reading(app) as two:
        await one.until(lambda r: r.kinds)
        await two.until(lambda r: r.kinds)
        async with reading(app) as many:
            await many.until(lambda r: r.is_over)
            assert (many.status, many.headers["retry-after"]) == (429, "5")
        async with reading(app, "eve") as eve:
            await eve.until(lambda r: r.kinds)
            async with reading(app, "bob") as bob:
                await bob.until(lambda r: r.is_over)
                assert bob.status == 503
    async with reading(app) as again:
        await again.until(lambda r: r.kinds == ["ready"])
    async with reading(app, method="HEAD") as head:
        await head.until(lambda r: r.is_over)
        assert (head.status, head.text) == (200, "")
    assert place.gate.live.watching == 0


async def test_a_connection_ends_with_its_time_and_with_its_customer(place: Place) -> None:
    short = EventLimits(every_seconds=0.005, heartbeat_seconds=0.05, life_seconds=0.1)
    async with reading(app_of(place.gate, short)) as reader:
        await reader.until(lambda r: r.is_over)
    await place.gate.customers.ensure("ada")
    async with reading(app_of(place.gate)) as reader:
        await reader.until(lambda r: r.kinds == ["ready"])
        await place.gate.customers.delete("ada")
        await reader.until(lambda r: r.is_over)


async def test_connections_end_when_the_server_or_the_gate_leaves(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Server:
        should_exit = False

        def handle_exit(self) -> None:
            """As uvicorn's."""

    server = Server()
    monkeypatch.setattr(signal, "getsignal", lambda number: server.handle_exit)
    async with reading(app_of(place.gate)) as reader:
        await reader.until(lambda r: r.kinds == ["ready"])
        assert not server_is_leaving()
        server.should_exit = True
        await reader.until(lambda r: r.is_over)
    server.should_exit = False
    async with reading(app_of(place.gate)) as reader:
        await reader.until(lambda r: r.kinds == ["ready"])
        await place.gate.tasks.__aexit__(None, None, None)
        await reader.until(lambda r: r.is_over)


async def test_an_outage_of_the_database_is_waited_out(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with reading(app_of(place.gate)) as reader:
        await reader.until(lambda r: r.kinds == ["ready"])
        with monkeypatch.context() as patched:

            async def gone(work: object) -> None:
                raise StoreUnavailableError

            patched.setattr(place.gate.store, "read", gone)
            await reader.until(lambda r: "could not be looked at" in caplog.text)
        await spend(place, 1)
        await reader.until(lambda r: "balance.changed" in r.kinds)


async def test_who_comes_is_shown_a_look_of_their_own_time(place: Place) -> None:
    desk = LiveDesk(place.gate.store, Rules(CATALOG))
    with desk.watch("ada", per_customer=2, per_process=9) as first:
        await desk.look()
        with desk.watch("ada", per_customer=2, per_process=9) as second:
            assert (first.latest is not None, second.latest) == (True, None)
            await desk.look()
            assert second.latest is not None


async def test_what_cannot_be_read_of_one_customer_keeps_no_other_waiting(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def poisoned(tx: Transaction, rules: Rules, customer: str) -> Any:
        if customer == "eve":
            raise ValueError("facts that nobody can read")
        return seen_of(tx, rules, customer)

    monkeypatch.setattr("gatekeeper.services.live.desk.seen_of", poisoned)
    desk = LiveDesk(place.gate.store, Rules(CATALOG))
    limits = {"per_customer": 1, "per_process": 9}
    with desk.watch("eve", **limits) as eve, desk.watch("ada", **limits) as ada:
        await desk.look()
        assert (ada.latest is not None, eve.latest is None) == (True, True)
        assert caplog.text.count("customer eve could not be looked at") == 1
        await desk.look()
        assert caplog.text.count("could not be looked at") == 1  # nothing has changed


async def test_one_look_asks_once_for_all_and_closely_for_whom_has_changed(place: Place) -> None:
    asked = 0

    class Counted:
        async def read(self, work: Any) -> Any:
            nonlocal asked
            asked += 1
            return await place.gate.store.read(work)

    desk = LiveDesk(cast("Store", Counted()), Rules(CATALOG))
    with ExitStack() as stack:
        watches = {
            name: stack.enter_context(desk.watch(name, per_customer=1, per_process=9))
            for name in ("ada", "eve", "bob")
        }
        looks = []
        for spender in (None, None, "eve"):
            if spender is not None:
                await spend(place, 1, spender)
            asked = 0
            await desk.look()
            looks.append(asked)
        assert looks == [2, 1, 2]
        assert [await watch.wait(0) for watch in watches.values()] == [True, True, True]
        await spend(place, 1, "bob")
        await desk.look()
        assert {name: await watch.wait(0) for name, watch in watches.items()} == {
            "ada": False,
            "eve": False,
            "bob": True,
        }
    await desk.look()
    assert desk.watching == 0


def test_what_is_no_id_of_ours_is_refused() -> None:
    known = Known("a", "b", "c", ("d",))
    assert Known.read(known.text()) == known
    for wrong in ("", "é", "AAAA", "A" * 2_001, known.text() + "!"):
        with pytest.raises(InvalidInputError):
            Known.read(wrong)
