"""What the gateway tells of itself: how long requests to Stripe take, and how they end."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Final

from gatekeeper.errors import GatekeeperError
from gatekeeper.telemetry import OFF, Span, Stopwatch, Telemetry, metrics, spans
from gatekeeper.telemetry.port import Value

_NAMESPACES: Final = frozenset(
    {"billing", "billing_portal", "checkout", "core", "entitlements", "radar", "test_helpers"}
)
"""Parts of a path that stand before a collection, and are none."""

ID: Final = "{id}"


def path_template(path: str) -> str:
    """A path of Stripe's API without its ids, and without a query: `/v1/customers/{id}`.

    After the version and the namespaces, names of collections and ids take turns.
    """
    version, *parts = path.partition("?")[0].strip("/").split("/")
    shown, is_id = [version], False
    for part in parts:
        if not is_id and part in _NAMESPACES:
            shown.append(part)
            continue
        shown.append(ID if is_id else part)
        is_id = not is_id
    return "/" + "/".join(shown)


class Asking:
    """A request that is under way."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.attempts = 0
        self.ended: dict[str, Value] = {}
        self._sent_at: float | None = None
        self._has_failed = False

    def attempt_begun(self) -> None:
        """An attempt of it is sent."""
        self.attempts += 1
        self._sent_at = monotonic()

    def attempt_ended(self, status: int | None) -> None:
        """The attempt was answered with this HTTP status; None: it was not."""
        self._sent_at = None
        self._has_failed = status is None or status >= 500

    def has_waited_in_vain(self, seconds: float) -> bool:
        """Whether Stripe seems not to answer it: its last attempt failed, or the one that is under
        way has waited for so many seconds."""
        return self._has_failed or (
            self._sent_at is not None and monotonic() - self._sent_at >= seconds
        )

    def answered(self, status: int | None) -> None:
        """Stripe has answered with this HTTP status; None: it has not."""
        if status is not None:
            self.ended[metrics.STATUS] = status
            self._span.set(metrics.STATUS, status)

    def failed(self, error_type: str) -> None:
        """It has failed."""
        self.ended[metrics.ERROR_TYPE] = error_type
        self._span.fail(error_type)


_asking: ContextVar[Asking | None] = ContextVar("gatekeeper_stripe_request", default=None)


def attempt_begun() -> None:
    """Say that an attempt of the running request is sent: what carries it, knows."""
    asking = _asking.get()
    if asking is not None:
        asking.attempt_begun()


def attempt_ended(status: int | None) -> None:
    """Say how that attempt was answered; None: it was not."""
    asking = _asking.get()
    if asking is not None:
        asking.attempt_ended(status)


class RequestTeller:
    """Tells of requests."""

    def __init__(self, telemetry: Telemetry = OFF) -> None:
        self._telemetry = telemetry

    @contextmanager
    def asking(self, method: str, path: str) -> Iterator[Asking]:
        """Around a request with its retries."""
        about = {metrics.METHOD: method.upper(), metrics.TEMPLATE: path_template(path)}
        watch = Stopwatch()
        with self._telemetry.span(spans.STRIPE_REQUEST, about) as span:
            asking = Asking(span)
            token = _asking.set(asking)
            try:
                yield asking
            except GatekeeperError as error:
                asking.failed(error.code)
                raise
            except BaseException as error:
                asking.failed(type(error).__name__)
                raise
            finally:
                _asking.reset(token)
                told = {**about, **asking.ended}
                self._telemetry.record(metrics.STRIPE_DURATION, watch.seconds, told)
                if asking.attempts > 1:
                    span.set(spans.RESENDS, asking.attempts - 1)
                    self._telemetry.count(metrics.STRIPE_RETRIES, about, asking.attempts - 1)
