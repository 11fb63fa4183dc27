"""What connects a gate to an ASGI app: the middleware, the routes, and errors as answers."""

from gatekeeper.asgi.billing import BillingOptions, EventLimits, RateLimits, billing_routes
from gatekeeper.asgi.bodies import BodyLimits
from gatekeeper.asgi.health_route import health_route, liveness_route
from gatekeeper.asgi.inline import answer_inline
from gatekeeper.asgi.middleware import GatekeeperMiddleware
from gatekeeper.asgi.mounting import (
    install,
    mount_billing,
    mount_health,
    mount_webhooks,
    with_lifespan,
)
from gatekeeper.asgi.page_headers import page_headers
from gatekeeper.asgi.problem import MEDIA_TYPE as PROBLEM_MEDIA_TYPE
from gatekeeper.asgi.problem import problem_answer, problem_body, problem_headers, problem_response
from gatekeeper.asgi.types import App, Receive, Scope, Send
from gatekeeper.asgi.webhook_route import webhook_route

__all__ = [
    "PROBLEM_MEDIA_TYPE",
    "App",
    "BillingOptions",
    "BodyLimits",
    "EventLimits",
    "GatekeeperMiddleware",
    "RateLimits",
    "Receive",
    "Scope",
    "Send",
    "answer_inline",
    "billing_routes",
    "health_route",
    "install",
    "liveness_route",
    "mount_billing",
    "mount_health",
    "mount_webhooks",
    "page_headers",
    "problem_answer",
    "problem_body",
    "problem_headers",
    "problem_response",
    "webhook_route",
    "with_lifespan",
]
