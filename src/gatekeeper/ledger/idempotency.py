"""Idempotency: what a repeated request means (DESIGN invariant 4).

A receipt remembers, beside the effect and in its transaction, that a customer's key was used, for
what, and what came of it. After draft-ietf-httpapi-idempotency-key-header and
https://docs.stripe.com/api/idempotent_requests: the same request gets the same answer, another
request under the same key is refused. Refusals leave no receipt, so that they can be tried again.
"""

import hashlib
from datetime import datetime

import msgspec

from gatekeeper.errors import IdempotencyConflictError


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """One used key of one customer. `result` is what the first request answered, as JSON."""

    customer: str
    key: str
    fingerprint: str
    result: str
    created_at: datetime


def fingerprint(operation: str, **arguments: object) -> str:
    """A digest of what a request asks for, equal exactly where the requests are equal."""
    body = msgspec.json.encode([operation, sorted(arguments.items())], order="sorted")
    return hashlib.sha256(body).hexdigest()


def check_replay(receipt: Receipt, wanted: str) -> str:
    """The stored answer, if the receipt is for the same request.

    Raises:
        IdempotencyConflictError: the key was used for something else.
    """
    if receipt.fingerprint != wanted:
        raise IdempotencyConflictError(
            "This idempotency key was used before, for another request. Use a new key for a new "
            "request, and repeat a request unchanged."
        )
    return receipt.result
