"""The webhook route, mountable in any ASGI app with nothing else of Gatekeeper's."""

from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gatekeeper.asgi.bodies import Bodies, BodyLimits
from gatekeeper.asgi.problem import problem_answer
from gatekeeper.errors import GatekeeperError

SIGNATURE_HEADER = "stripe-signature"


class Receiver(Protocol):
    """What takes events in: a gate, or a `WebhookReceiver` on its own."""

    @property
    def max_body_bytes(self) -> int:
        """The largest body that is accepted."""

    async def receive(self, body: bytes, signature: bytes | str | None) -> bool:
        """Verify and store an event; True if it is new."""


def webhook_route(
    receiver: Receiver, path: str = "/webhooks", *, limits: BodyLimits | None = None
) -> Route:
    """A Starlette route for Stripe's webhooks; its `endpoint` is an ordinary handler.

    The answer is 200 once the event is stored; 400 for what Stripe did not send, 408 for a body
    that comes too slowly and 413 for one that is too large; and 503 when it could not be stored:
    then Stripe sends it again (https://docs.stripe.com/webhooks#event-delivery-behaviors).
    """
    bodies = Bodies(limits)

    async def receive(request: Request) -> Response:
        try:
            async with bodies.read(request, receiver.max_body_bytes) as body:
                signatures = request.headers.getlist(SIGNATURE_HEADER)
                signature = ",".join(signatures) if signatures else None  # RFC 9110, 5.2
                await receiver.receive(body, signature)
        except GatekeeperError as error:
            return problem_answer(error)
        return Response(b'{"received":true}', media_type="application/json")

    return Route(path, receive, methods=["POST"], name="gatekeeper-webhooks")
