"""Which pages may call the billing routes: against requests that another site makes with a person's
cookies, and for those sites that the host allows to.

A request that changes something is refused if a browser says that another site's page has made it
(https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html#fetch-metadata-headers).
What is not a browser sends neither header, and has no cookies of anybody's.
"""

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request

from gatekeeper.asgi.billing.operations import WRITING, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.errors import OriginRefusedError

_FROM_HERE = ("same-origin", "none")
"""`Sec-Fetch-Site` of our own pages, and of what a person has typed
(https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header)."""

MAX_PREFLIGHT_SECONDS = 600


def check_origin(operation: Operation, request: Request, options: BillingOptions) -> None:
    """Refuse a changing request of another site's page.

    Raises:
        OriginRefusedError.
    """
    if not operation.writes:
        return
    origin = request.headers.get("origin")
    if origin is not None and origin in options.origins:
        return
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        fine = site in _FROM_HERE
    else:
        fine = origin is None or origin == options.own_origin(request)
    if not fine:
        raise OriginRefusedError("This was asked by a page of another site, which is not allowed.")


def cors(options: BillingOptions) -> list[Middleware]:
    """What lets pages of `options.origins` ask with cookies and read the answers; nothing if there
    are none."""
    if not options.origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(options.origins),
            allow_credentials=True,
            allow_methods=["GET", *sorted(WRITING)],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"],
            expose_headers=["Retry-After", "Content-Language"],
            max_age=MAX_PREFLIGHT_SECONDS,
        )
    ]
