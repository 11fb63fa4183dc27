"""How Stripe signs a webhook. Source: Stripe's page "Verify webhook signatures manually"."""

import hashlib
import hmac


def sign(body: bytes, secret: str, second: int) -> str:
    """The `Stripe-Signature` header: HMAC-SHA256 of "second.body" under the endpoint's secret."""
    signed = str(second).encode() + b"." + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return f"t={second},v1={digest}"
