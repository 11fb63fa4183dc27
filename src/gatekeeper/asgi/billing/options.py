"""What a host decides about its billing routes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from starlette.requests import Request

from gatekeeper.asgi.billing.event_stream import EventLimits
from gatekeeper.asgi.billing.rate_limits import RateLimits
from gatekeeper.errors import ConfigurationError, ReturnUrlError

Authorise = Callable[[Request], Awaitable[str | None] | str | None]
"""Names who acts in the back office, by the host's own authentication; None refuses them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingOptions:
    """What a host decides about its billing routes.

    Attributes:
        success_url: where Stripe sends people after paying, unless the page names another place: an
            absolute URL, or a path of the app's origin. `{PURCHASE_ID}` in it is replaced by the
            checkout's id, and `{CHECKOUT_SESSION_ID}` by Stripe's.
        cancel_url: where Stripe sends people who go back.
        base_url: the app's origin as browsers see it ("https://app.example"), for apps behind a
            proxy that does not pass it on; None takes it from the request.
        origins: other origins ("https://www.example") whose pages may call these routes with the
            person's cookies, and where people may be sent back to. None by default: CORS is closed.
        rate_limits: how often one customer may ask.
        back_office: who may use the routes below `/admin`; without it there are none.
        back_office_origins: other origins whose pages may call those, with the cookies of whoever
            runs the app; `origins` may not.
        consumable: the costs and units that a browser may use up by `POST credits/consume`, where
            nothing else is done for it. None by default: the app's own routes use credits.
        events: how many connections may wait for events, and for how long.
    """

    success_url: str = "/"
    cancel_url: str = "/"
    base_url: str | None = None
    origins: tuple[str, ...] = ()
    rate_limits: RateLimits = field(default_factory=RateLimits)
    back_office: Authorise | None = None
    back_office_origins: tuple[str, ...] = ()
    consumable: tuple[str, ...] = ()
    events: EventLimits = field(default_factory=EventLimits)

    def __post_init__(self) -> None:
        named = (*self.origins, *self.back_office_origins, *filter(None, [self.base_url]))
        for origin in named:
            if origin_of(origin) != origin:
                raise ConfigurationError(
                    f"{origin!r} is no origin: write a scheme and a host, such as "
                    "'https://app.example', without a path."
                )

    def own_origin(self, request: Request) -> str:
        """The app's own origin."""
        return self.base_url or f"{request.url.scheme}://{request.url.netloc}"

    def return_url(self, request: Request, wanted: str | None, default: str) -> str:
        """Where to send somebody back to, as an absolute URL: what the page wants, if it is of the
        app's own origin or of `origins`; else the host's own default, which may be anywhere.

        Raises:
            ReturnUrlError: it is elsewhere: whoever follows a link of ours must not end up there
                (https://cheatsheetseries.owasp.org/cheatsheets/Unvalidated_Redirects_and_Forwards_Cheat_Sheet.html).
        """
        own = self.own_origin(request)
        if wanted is None:
            return urljoin(f"{own}/", default)
        try:
            absolute = urljoin(f"{own}/", wanted)
        except ValueError:  # brackets that are no IPv6 address
            absolute = ""
        # A backslash is a slash to browsers (https://url.spec.whatwg.org/#special-scheme).
        if "\\" in wanted or origin_of(absolute) not in (own, *self.origins):
            raise ReturnUrlError(
                "A URL to return to must be a path of this app, or of an origin that it allows."
            )
        return absolute


def origin_of(url: str) -> str | None:
    """The origin of an absolute URL without credentials; None if it has none."""
    try:
        parts = urlsplit(url)
        host = parts.netloc
        parts.port  # noqa: B018 - raises if it is no number
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host or "@" in host:
        return None
    return f"{parts.scheme}://{host.lower()}"
