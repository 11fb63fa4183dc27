"""The OpenAPI document of the billing API, made from its operations."""

from gatekeeper.asgi.billing.openapi.document import document
from gatekeeper.asgi.billing.openapi.operation import described

__all__ = ["described", "document"]
