"""What runs beside the requests, and what is watched meanwhile."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from gatekeeper.cache.telling import cache_readings
from gatekeeper.services.surveyor import WATCHED
from gatekeeper.settings import Settings
from gatekeeper.telemetry import Reading, metrics
from gatekeeper.wiring.parts import Parts

Loops = dict[str, Callable[[], Awaitable[None]]]


def loops_of(parts: Parts, settings: Settings, *, everything: bool = False) -> Loops:
    """What runs beside the requests: what this process alone can do, and of the work that any
    process can do what the settings do not leave to others; with `everything` that too."""
    loops: Loops = {"cache teller": parts.teller.run, "denials": parts.denials.run}
    if settings.telemetry_every_seconds:
        loops["surveyor"] = parts.surveyor.run
    if settings.background_work or everything:
        loops |= _work_of(parts, settings)
    if everything or (settings.background_work and not settings.inline_dispatch):
        loops["dispatcher"] = parts.receiver.run
    return loops


def _work_of(parts: Parts, settings: Settings) -> Loops:
    """The work that one process does for all, but for dispatch."""
    loops: Loops = {"upkeep": parts.upkeep.run, "deliverer": parts.deliverer.run}
    if parts.catalog.meters:
        loops["sealer"] = parts.sealer.run
    if (stripe := parts.stripe) is not None:
        loops |= {"outgoing": stripe.outgoing.run}
        loops |= {"transfers": stripe.payer.run, "paybacks": stripe.taker.run}
        loops["top-ups"] = stripe.top_up_payer.run
        if parts.catalog.meters:
            loops["meters"] = stripe.sender.run
        if settings.reconcile_every_hours:
            loops["reconciliation"] = stripe.reconciler.loop
    return loops


@contextmanager
def watched(parts: Parts) -> Iterator[None]:
    """The gauges of the parts, for as long as the block runs."""
    telemetry = parts.telemetry

    def circuit() -> Iterable[Reading]:
        if parts.stripe is not None:
            is_closed = parts.stripe.gateway.circuit.is_closed
            yield Reading(metrics.STRIPE_CIRCUIT, 0 if is_closed else 1)

    with ExitStack() as stack:
        stack.callback(telemetry.watch(parts.surveyor.readings, WATCHED))
        stack.callback(telemetry.watch(circuit, [metrics.STRIPE_CIRCUIT]))
        counts = partial(cache_readings, parts.cache)
        stack.callback(telemetry.watch(counts, [metrics.CACHE_EVENTS]))
        yield
