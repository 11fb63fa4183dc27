"""What telemetry costs: switched off, without an SDK, and with one that keeps all in memory.

One gate each, in one run and in turns. What passes a cached check tells nothing, so that those rows
must be alike; a refusal and a webhook do tell. The webhook is one that was stored before, on the
store in memory: the signature, the envelope, a look; without a database's commit, beside which the
difference would not be seen.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from benchmarks.check import CUSTOMER, request, who
from benchmarks.table import Measurement, Row, measure, repeated_async
from gatekeeper import Catalog, Feature, Gatekeeper, Plan, Settings, requires_plan
from gatekeeper.asgi import GatekeeperMiddleware, Receive, Scope, Send
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.telemetry import OFF, Telemetry
from gatekeeper.telemetry.otel import OpenTelemetry
from gatekeeper.testing.events import make_event, signed

TITLE: Final = "What telemetry costs (CPU of one call)"
MOST_OF_OFF: Final = 1.05
"""A cached check with telemetry on may take so many times what it takes with it off: the noise."""

Call = Callable[[], Awaitable[object]]

_SECRET: Final = "whsec_" + "b" * 32
_CATALOG: Final = Catalog(
    plans=[Plan("free", default=True), Plan("pro", includes="free", features=[Feature("shown")])],
    declares=[Feature("hidden")],
)


async def handler(scope: Scope, receive: Receive, send: Send) -> None:
    """A bare app."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


async def _opened(telemetry: Telemetry) -> Gatekeeper:
    settings = Settings.load(stripe_webhook_secret=_SECRET)
    gate = Gatekeeper(_CATALOG, settings, store=MemoryStore(), telemetry=telemetry)
    gate.identify(who)
    await gate.__aenter__()
    await gate.customers.override_plan(CUSTOMER, "pro")
    await gate.entitlements(CUSTOMER)
    return gate


def run() -> list[Row]:
    """Measure, and say whether a check is as quick as with telemetry off."""
    ways: dict[str, Telemetry] = {
        "off, or not installed": OFF,
        "OpenTelemetry's API, no SDK": OpenTelemetry(),
        "its SDK, in memory": OpenTelemetry(
            MeterProvider([InMemoryMetricReader()]), TracerProvider()
        ),
    }
    guarded = requires_plan("pro")(handler)
    event = signed(make_event("customer.updated", {"id": "cus_1", "object": "customer"}), _SECRET)
    with asyncio.Runner() as runner:
        gates = [runner.run(_opened(telemetry)) for telemetry in ways.values()]

        def measured(call_of: Callable[[Gatekeeper], Call]) -> list[Measurement]:
            return measure(*(repeated_async(runner, call_of(gate)) for gate in gates))

        # One kind after the other: a webhook leaves work behind for the dispatcher, which would be
        # counted for what is measured next.
        columns = [
            measured(lambda gate: request(GatekeeperMiddleware(guarded, gate))),
            measured(lambda gate: lambda: gate.allows(CUSTOMER, "hidden")),
            measured(lambda gate: lambda: gate.receiver.receive(*event)),
        ]
        for gate in gates:
            runner.run(gate.__aexit__(None, None, None))
    of_way = [list(found) for found in zip(*columns, strict=True)]
    return [_row(name, found, of_way[0]) for name, found in zip(ways, of_way, strict=True)]


def _row(name: str, found: list[Measurement], off: list[Measurement]) -> Row:
    check, refusal, webhook = (one.cpu_us for one in found)
    factor = check / off[0].cpu_us
    verdict = "met" if factor <= MOST_OF_OFF else "MISSED"
    beside = "" if found is off else f"{factor:.2f} x (aim <= {MOST_OF_OFF:g} x: {verdict})"
    cells = {
        "cached check us": f"{check:,.2f}",
        "beside off": beside,
        "refusal us": f"{refusal:,.2f}",
        "webhook us": f"{webhook:,.2f}",
    }
    return Row(name, cells)
