"""Headers that a page with money on it is sent with: what may run in it, and who may frame it."""

from collections.abc import Sequence
from typing import Final

STRIPE_ORIGINS: Final = (
    "https://js.stripe.com",
    "https://api.stripe.com",
    "https://hooks.stripe.com",
    "https://*.js.stripe.com",
)
"""Where Stripe.js comes from, asks, and opens its frames
(https://docs.stripe.com/security/guide#content-security-policy)."""


def page_headers(
    *, stripe_origins: Sequence[str] = STRIPE_ORIGINS, nonce: str | None = None
) -> dict[str, str]:
    """Headers for a page of the host's that takes payments, as an ASGI app sends them.

    Scripts and styles come from the app itself and from Stripe; nothing is framed but Stripe's
    fields, and nobody frames the page (https://owasp.org/www-project-secure-headers/).

    Args:
        stripe_origins: for a page without Stripe.js, none; for tests, the simulator's.
        nonce: of the page's inline scripts and styles, new for each answer
            (https://www.w3.org/TR/CSP3/#security-nonces); None allows no inline ones.
    """
    stripe = " ".join(stripe_origins)
    inline = "" if nonce is None else f"'nonce-{nonce}'"
    policy = {
        "default-src": "'self'",
        "script-src": f"'self' {inline} {stripe}",
        "style-src": f"'self' {inline}",
        "img-src": f"'self' data: {stripe}",
        "connect-src": f"'self' {stripe}",
        "frame-src": stripe or "'none'",
        "frame-ancestors": "'none'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "object-src": "'none'",
    }
    return {
        "content-security-policy": "; ".join(
            " ".join([name, *sources.split()]) for name, sources in policy.items()
        ),
        "cross-origin-opener-policy": "same-origin-allow-popups",
        "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(self)",
        "referrer-policy": "strict-origin-when-cross-origin",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
    }
