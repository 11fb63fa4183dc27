"""A whole ASGI app under a gate, for hosts without a router of Starlette's: three lines for all."""

import logging

from starlette.routing import Match, Mount, Route

from gatekeeper.asgi.billing import BillingOptions, billing_routes
from gatekeeper.asgi.health_route import MaySee, health_route, liveness_route
from gatekeeper.asgi.middleware import GatekeeperMiddleware
from gatekeeper.asgi.types import App, Message, Receive, Scope, Send
from gatekeeper.asgi.webhook_route import webhook_route
from gatekeeper.gate import Gatekeeper
from gatekeeper.guards.placement import Endpoints

logger = logging.getLogger("gatekeeper")


def mount_billing(
    app: App,
    gate: Gatekeeper,
    *,
    prefix: str = "/billing",
    options: BillingOptions = BillingOptions(),
) -> App:
    """An app that answers below `prefix` with the billing routes, and else with `app`."""
    routes = billing_routes(gate, options)
    return _mounted(app, Mount(prefix, app=routes))


def mount_webhooks(app: App, gate: Gatekeeper, *, prefix: str = "/billing") -> App:
    """An app that takes webhooks at `prefix` + "/webhooks", and is else `app`.

    For frameworks that mount the other billing routes inside, where their users are known.
    """
    return _mounted(app, webhook_route(gate.receiver, f"{prefix}/webhooks"))


def mount_health(
    app: App, gate: Gatekeeper, *, path: str = "/health", details: MaySee | None = None
) -> App:
    """An app that answers at `path` as `health_route` does, at `path` + "/live" as
    `liveness_route`, and is else `app`."""
    live = liveness_route(f"{path}/live")
    return _mounted(_mounted(app, live), health_route(gate, path, details=details))


def _mounted(app: App, route: Mount | Route) -> App:
    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            match, child_scope = route.matches(scope)
            if match is Match.FULL:
                await route.handle({**scope, **child_scope}, receive, send)
                return
        await app(scope, receive, send)

    return mounted


def install(
    app: App,
    gate: Gatekeeper,
    *,
    prefix: str = "/billing",
    options: BillingOptions = BillingOptions(),
    app_has_lifespan: bool = False,
    endpoints: Endpoints | None = None,
) -> App:
    """A bare ASGI app under a gate: middleware, billing routes, and the gate's lifespan.

    Args:
        app_has_lifespan: whether `app` handles the lifespan protocol itself
            (https://asgi.readthedocs.io/en/latest/specs/lifespan.html); then its start-up runs
            with the gate open, and the gate closes after its shutdown.
        endpoints: lists the app's routes as (path, handler), so that their guards are checked
            when the gate opens.
    """
    if endpoints is not None:
        gate.watch(endpoints)
    served = mount_billing(
        GatekeeperMiddleware(app, gate),
        gate,
        prefix=prefix,
        options=options,
    )
    return with_lifespan(app, served, gate, app_has_lifespan=app_has_lifespan)


def with_lifespan(
    app: App, served: App, gate: Gatekeeper, *, app_has_lifespan: bool = False
) -> App:
    """`served`, with the gate's lifespan around that of `app` (see `install`)."""

    async def installed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await served(scope, receive, send)
        elif app_has_lifespan:
            await _around(app, gate, scope, receive, send)
        else:
            await _around(_no_lifespan, gate, scope, receive, send)

    return installed


async def _around(app: App, gate: Gatekeeper, scope: Scope, receive: Receive, send: Send) -> None:
    """Run an app's lifespan inside the gate's. Its last word is held back until the gate is closed:
    a server may end the loop on hearing it."""
    startup = await receive()
    last_word: Message | None = None
    started = False
    try:
        async with gate:
            replay = [startup]

            async def replaying() -> Message:
                return replay.pop() if replay else await receive()

            async def holding(message: Message) -> None:
                nonlocal last_word, started
                if message["type"] == "lifespan.startup.complete":
                    started = True
                    await send(message)
                else:
                    last_word = message

            await app(scope, replaying, holding)
    except Exception as error:
        logger.exception("the lifespan failed")
        phase = "shutdown" if started else "startup"
        last_word = {"type": f"lifespan.{phase}.failed", "message": str(error)}
    if last_word is not None:
        await send(last_word)


async def _no_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """The lifespan of an app that needs none."""
    await send({"type": "lifespan.startup.complete"})
    while (await receive())["type"] != "lifespan.shutdown":
        pass
    await send({"type": "lifespan.shutdown.complete"})
