"""`/_sim/...`: the simulator's own controls, for those who run it as a process of its own.

JSON in, JSON out. There is no authentication: a simulator belongs on a loopback address.

    GET  /_sim/now                               the simulated time
    POST /_sim/advance     {"days": 31}          or {"to": "2027-01-01T00:00:00Z"}; delivers too
    GET  /_sim/events?type=invoice.paid
    GET  /_sim/deliveries                        the log, and what waits
    POST /_sim/deliver                           deliver what is due
    POST /_sim/pause, /_sim/resume               hold webhooks back, let them go
    POST /_sim/redeliver   {"event": "evt_...", "times": 2}
    POST /_sim/drop        {"event": "evt_..."}
    POST /_sim/checkout    {"session": "cs_...", "card": "4242424242424242"}
    POST /_sim/act         {"do": "dispute", "payment": "pi_..."}: a method of `actions.Actions`
"""

import inspect
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gatekeeper.testing.stripe.actions import Actions
from gatekeeper.testing.stripe.core.errors import ApiError, invalid

if TYPE_CHECKING:
    from gatekeeper.testing.stripe.simulator import Simulator

Body = dict[str, Any]
Act = Callable[[Body], Awaitable[Body]]

_SPANS = ("days", "hours", "minutes", "seconds")
_PAYMENT = ("card", "iban", "email", "name", "country", "authenticate", "promotion_code")


def control_routes(simulator: "Simulator") -> list[Route]:
    """The control endpoints of a simulator."""
    controls = _Controls(simulator)
    posts: dict[str, Act] = {
        "act": controls.act,
        "advance": controls.advance,
        "checkout": controls.checkout,
        "deliver": controls.deliver,
        "drop": controls.drop,
        "pause": controls.pause,
        "redeliver": controls.redeliver,
        "resume": controls.resume,
    }
    return [
        Route("/_sim/now", controls.now, methods=["GET"]),
        Route("/_sim/events", controls.events, methods=["GET"]),
        Route("/_sim/deliveries", controls.deliveries, methods=["GET"]),
        *(Route(f"/_sim/{name}", _post(act), methods=["POST"]) for name, act in posts.items()),
    ]


def _post(act: Act) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            raw = await request.body()
            body = json.loads(raw) if raw else {}
            if not isinstance(body, dict):
                raise invalid("Invalid JSON: an object is needed.")
            return JSONResponse(await act(body))
        except ApiError as error:
            return JSONResponse(error.body(), error.status)
        except (KeyError, TypeError, ValueError) as error:
            return JSONResponse(invalid(f"Invalid request: {error!r}").body(), 400)

    return endpoint


class _Controls:
    def __init__(self, simulator: "Simulator") -> None:
        self._sim = simulator

    async def now(self, request: Request) -> Response:
        return JSONResponse(self._now())

    def _now(self) -> Body:
        return {"now": self._sim.now.isoformat()}

    async def events(self, request: Request) -> Response:
        return JSONResponse({"events": self._sim.events(*request.query_params.getlist("type"))})

    async def deliveries(self, request: Request) -> Response:
        waiting = [
            {"event_id": d.event["id"], "event_type": d.event["type"], "due_at": d.due_at}
            for d in self._sim.undelivered()
        ]
        log = [asdict(attempt) for attempt in self._sim.delivery_log]
        return JSONResponse({"log": log, "waiting": waiting})

    async def advance(self, body: Body) -> Body:
        if "to" in body:
            await self._sim.play_to(datetime.fromisoformat(body["to"]))
        else:
            await self._sim.play(**{name: body[name] for name in _SPANS if name in body})
        return self._now()

    async def act(self, body: Body) -> Body:
        name = str(body["do"])
        if name.startswith("_") or name not in vars(Actions):
            raise invalid(f"There is no such act: {name}")
        act = getattr(self._sim, name)
        if inspect.iscoroutinefunction(act):
            raise invalid(f"{name} has a control of its own.")
        done = act(**{key: value for key, value in body.items() if key != "do"})
        return done if isinstance(done, dict) else {"done": name}

    async def deliver(self, body: Body) -> Body:
        return {"attempts": await self._sim.deliver_pending()}

    async def pause(self, body: Body) -> Body:
        self._sim.hold()
        return {"held": True}

    async def resume(self, body: Body) -> Body:
        self._sim.release()
        return {"held": False}

    async def redeliver(self, body: Body) -> Body:
        return {"deliveries": self._sim.redeliver(body["event"], int(body.get("times", 1)))}

    async def drop(self, body: Body) -> Body:
        return {"dropped": self._sim.drop(body["event"])}

    async def checkout(self, body: Body) -> Body:
        payment = {name: body[name] for name in _PAYMENT if name in body}
        return await self._sim.complete_checkout(body["session"], **payment)
