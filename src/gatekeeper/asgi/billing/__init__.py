"""The billing API: what a product's front end and back office ask, under one prefix."""

from gatekeeper.asgi.billing.event_stream import EventLimits
from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.rate_limits import RateLimits
from gatekeeper.asgi.billing.routes import billing_routes, operations_of

__all__ = [
    "BillingOptions",
    "Call",
    "EventLimits",
    "Operation",
    "RateLimits",
    "billing_routes",
    "operations_of",
]
