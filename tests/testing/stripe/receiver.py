"""A webhook endpoint of a host app that verifies with Stripe's own function and remembers."""

import stripe
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gatekeeper.testing.stripe import Simulator

URL = "http://host.test/webhooks"


class Receiver:
    """`statuses` are the answers still to be given; then 200."""

    def __init__(self, sim: Simulator, *events: str, url: str = URL, connect: bool = False) -> None:
        self.events: list[stripe.Event] = []
        self.statuses: list[int] = []
        self.refused = 0
        app = Starlette(routes=[Route("/webhooks", self._receive, methods=["POST"])])
        self.endpoint = sim.webhook_endpoint(url, events or ("*",), app=app, connect=connect)

    async def _receive(self, request: Request) -> Response:
        body = await request.body()
        try:
            event = stripe.Webhook.construct_event(
                body, request.headers["stripe-signature"], self.endpoint["secret"]
            )
        except stripe.SignatureVerificationError:
            self.refused += 1
            return Response(status_code=400)
        self.events.append(event)
        return Response(status_code=self.statuses.pop(0) if self.statuses else 200)

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]
