"""A whole ASGI app under a gate, for hosts without a router of Starlette's: three lines for all."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.routing import Match, Mount

from gatekeeper.asgi.billing_routes import billing_routes
from gatekeeper.asgi.middleware import App, GatekeeperMiddleware, Receive, Send
from gatekeeper.gate import Gatekeeper

Message = MutableMapping[str, Any]


def mount_billing(
    app: App,
    gate: Gatekeeper,
    *,
    prefix: str = "/billing",
    success_url: str = "/",
    cancel_url: str = "/",
) -> App:
    """An app that answers below `prefix` with the billing routes, and else with `app`."""
    routes = billing_routes(gate, success_url=success_url, cancel_url=cancel_url)
    mount = Mount(prefix, app=routes)

    async def mounted(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            match, child_scope = mount.matches(scope)
            if match is Match.FULL:
                await mount.handle({**scope, **child_scope}, receive, send)
                return
        await app(scope, receive, send)

    return mounted


def install(
    app: App,
    gate: Gatekeeper,
    *,
    prefix: str = "/billing",
    success_url: str = "/",
    cancel_url: str = "/",
    app_has_lifespan: bool = False,
) -> App:
    """A bare ASGI app under a gate: middleware, billing routes, and the gate's lifespan.

    Args:
        app_has_lifespan: whether `app` handles the lifespan protocol itself
            (https://asgi.readthedocs.io/en/latest/specs/lifespan.html); then its start-up runs
            with the gate open, and the gate closes after its shutdown.
    """
    served = mount_billing(
        GatekeeperMiddleware(app, gate),
        gate,
        prefix=prefix,
        success_url=success_url,
        cancel_url=cancel_url,
    )

    async def installed(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await served(scope, receive, send)
        elif app_has_lifespan:
            await _around(app, gate, scope, receive, send)
        else:
            await _around(_no_lifespan, gate, scope, receive, send)

    return installed


async def _around(
    app: App, gate: Gatekeeper, scope: dict[str, Any], receive: Receive, send: Send
) -> None:
    """Run an app's lifespan inside the gate's. Its last word is held back until the gate is closed:
    a server may end the loop on hearing it."""
    startup = await receive()
    last_word: list[Message] = []
    try:
        async with gate:
            replay = [startup]

            async def replaying() -> Message:
                return replay.pop() if replay else await receive()

            async def holding(message: Message) -> None:
                if message["type"].startswith("lifespan.shutdown"):
                    last_word.append(message)
                else:
                    await send(message)

            await app(scope, replaying, holding)
    except Exception as error:
        if last_word:
            last_word[0] = {"type": "lifespan.shutdown.failed", "message": str(error)}
        else:
            last_word.append({"type": "lifespan.startup.failed", "message": str(error)})
    for message in last_word:
        await send(message)


async def _no_lifespan(
    scope: dict[str, Any], receive: Receive, send: Callable[[Message], Awaitable[None]]
) -> None:
    """The lifespan of an app that needs none."""
    await send({"type": "lifespan.startup.complete"})
    while (await receive())["type"] != "lifespan.shutdown":
        pass
    await send({"type": "lifespan.shutdown.complete"})
