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
    """Refuse a changing request of another site's page; of the back office a reading one too, which
    the pages that `options.origins` allows could otherwise make with the cookies of its people.

    Raises:
        OriginRefusedError.
    """
    office = operation.audience == "back_office"
    origin = request.headers.get("origin")
    # A page reads nothing without an Origin: that is somebody who followed a link.
    if not operation.writes and not (office and origin is not None):
        return
    allowed = options.back_office_origins if office else options.origins
    if origin is not None and origin in allowed:
        return
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        fine = site in _FROM_HERE
    else:
        fine = origin is None or origin == options.own_origin(request)
    if not fine:
        raise OriginRefusedError("This was asked by a page of another site, which is not allowed.")


def cors(options: BillingOptions) -> list[Middleware]:
    """What lets pages of the allowed origins ask with cookies and read the answers; nothing if
    there are none."""
    origins = sorted({*options.origins, *options.back_office_origins})
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_credentials=True,
            allow_methods=["GET", *sorted(WRITING)],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"],
            expose_headers=["Retry-After", "Content-Language"],
            max_age=MAX_PREFLIGHT_SECONDS,
        )
    ]
