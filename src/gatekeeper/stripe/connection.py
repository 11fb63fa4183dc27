"""The connection to Stripe, over its own `stripe` package: paced, and cut while Stripe is away.

Plain dicts come out: a `StripeObject` is no dict (`.get` fails on it). The API version is pinned,
so that what is fetched has the shape that the projections read, whatever the version of the events
or of the installed package.
"""

import logging
from collections.abc import Mapping
from time import monotonic
from typing import Any, Final, Literal

import anyio
import msgspec

from gatekeeper.circuit import Circuit, CircuitChange
from gatekeeper.errors import ConfigurationError, StripeUnavailableError
from gatekeeper.stripe.pacing import Pace
from gatekeeper.stripe.quiet import keep_quiet
from gatekeeper.stripe.refusals import WAITING, refusal_of
from gatekeeper.stripe.telling import Asking, RequestTeller
from gatekeeper.telemetry import Telemetry

logger: Final = logging.getLogger("gatekeeper.stripe")

API_VERSION: Final = "2026-10-28.endive"
"""The version of Stripe's API whose shapes the projections are written for."""

Obj = dict[str, Any]
"""An object of Stripe's API."""


def livemode_of(api_key: str) -> bool:
    """Whether a secret or restricted key works on live data.

    Raises:
        ConfigurationError: it is neither kind of key (a publishable one, say).
    """
    if api_key.startswith(("sk_live_", "rk_live_")):
        return True
    if api_key.startswith(("sk_test_", "rk_test_")):
        return False
    raise ConfigurationError(
        "The Stripe key must begin with sk_test_, sk_live_, rk_test_ or rk_live_: a secret or "
        "restricted key of one account."
    )


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How fast one process asks Stripe, and when it stops asking a Stripe that does not answer.

    `per_second` counts reads and writes apart. After `outage_threshold` requests in a row without
    an answer all fail at once, but for one every `outage_retry_seconds`.
    """

    per_second: int = 20
    at_once: int = 20
    outage_threshold: int = 5
    outage_retry_seconds: float = 15.0


class Connection:
    """Sends requests. Connects at the first one."""

    def __init__(
        self,
        api_key: str,
        *,
        api_base: str | None,
        timeout_seconds: float,
        max_network_retries: int,
        limits: Limits,
        telemetry: Telemetry,
    ) -> None:
        self._teller = RequestTeller(telemetry)
        self.livemode = livemode_of(api_key)
        self._api_key = api_key
        self._api_base = api_base
        self._timeout_seconds = timeout_seconds
        self._max_network_retries = max_network_retries
        self._client: Any = None
        self._http: Any = None
        self._limits = limits
        self.circuit = Circuit(
            threshold=self._limits.outage_threshold,
            retry_seconds=self._limits.outage_retry_seconds,
            try_seconds=2 * timeout_seconds,  # for its turn, and for the answer
            monotonic=monotonic,
            on_change=_log_outage,
        )

    async def aclose(self) -> None:
        """Close it. It may be used again, also on another event loop."""
        http, self._http, self._client = self._http, None, None
        if http is not None:
            await http.close_async()

    async def ask(
        self,
        method: Literal["get", "post", "delete"],
        path: str,
        params: Mapping[str, Any] | None,
        what: str,
        **options: str | None,
    ) -> Obj:
        """One request; the package's errors become ours, without the chain that holds more.

        Args:
            what: names the request in an error.
            options: of the package: `idempotency_key`, `stripe_account`; None is none.

        Raises:
            StripeUnavailableError, StripeRequestError.
        """
        with self._teller.asking(method, path) as asking:
            return await self._asked(method, path, params, what, options, asking)

    async def _asked(
        self,
        method: Literal["get", "post", "delete"],
        path: str,
        params: Mapping[str, Any] | None,
        what: str,
        options: Mapping[str, str | None],
        asking: Asking,
    ) -> Obj:
        given: dict[str, Any] = {
            name: value for name, value in options.items() if value is not None
        }
        is_try = not self.circuit.is_closed
        if is_try:
            given["max_network_retries"] = 0  # one attempt says whether Stripe is there
        if not self.circuit.allows():
            raise StripeUnavailableError(
                f"Stripe has not answered for a while ({what}); try later."
            )
        try:
            answer = await self._connected().raw_request_async(
                method, path, **dict(params or {}), **given
            )
        except self._stripe().StripeError as error:
            refusal = refusal_of(error, what)
            asking.answered(error.http_status)
            if error.code == WAITING:
                pass  # Stripe was not asked
            elif error.http_status is None or error.http_status >= 500:
                self.circuit.failed(refusal, is_try=is_try)
            else:
                self.circuit.succeeded()
            raise refusal from None
        except anyio.get_cancelled_exc_class():
            # Whoever waits may have less patience than all attempts take: a handler's time limit,
            # say. Else a Stripe that hangs would never be known to.
            if asking.has_waited_in_vain(self._timeout_seconds / 2):
                gone = StripeUnavailableError(f"Stripe did not answer in time ({what}).")
                self.circuit.failed(gone, is_try=is_try)
            raise
        self.circuit.succeeded()
        asking.answered(answer.code)
        found: Obj = msgspec.json.decode(answer.body)
        return found

    def _connected(self) -> Any:
        if self._client is None:
            from gatekeeper.stripe.transport import HttpxTransport  # here: it imports stripe

            stripe = self._stripe()
            keep_quiet()
            pace = Pace(
                per_second=self._limits.per_second,
                at_once=self._limits.at_once,
                max_wait_seconds=self._timeout_seconds,
            )
            self._http = HttpxTransport(self._timeout_seconds, pace)
            addresses = {} if self._api_base is None else {"api": self._api_base}
            self._client = stripe.StripeClient(
                self._api_key,
                stripe_version=API_VERSION,
                base_addresses=addresses,
                max_network_retries=self._max_network_retries,
                http_client=self._http,
            )
        return self._client

    @staticmethod
    def _stripe() -> Any:
        import stripe  # here: it takes up to half a second, and not every process asks Stripe

        return stripe


def _log_outage(change: CircuitChange) -> None:
    if change.closed:
        logger.warning("Stripe answers again after %.0f s", change.seconds)
    else:
        logger.error("Stripe does not answer: requests to it fail at once until it does")
