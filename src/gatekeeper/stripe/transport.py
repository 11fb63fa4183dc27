"""How requests to Stripe travel: httpx, as the `stripe` package uses it, with the body passed so
that no release of httpx complains of it (`content=`; the package's own client passes `data=`).
"""

import ssl
from collections.abc import Mapping
from functools import cache
from typing import Any

import anyio
import httpx
import stripe

from gatekeeper.stripe.pacing import Pace, TooManyWaitingError
from gatekeeper.stripe.refusals import WAITING
from gatekeeper.stripe.telling import attempt_begun, attempt_ended

_connection_error: Any = stripe.APIConnectionError  # the package leaves its arguments untyped


class HttpxTransport(stripe.HTTPClient):
    """An HTTP client for `stripe.StripeClient`, for asynchronous requests alone.

    The package repeats a request that raises `APIConnectionError`, under the same idempotency key.
    Import this module where it is used: the `stripe` package takes up to half a second.
    """

    name = "httpx"

    def __init__(self, timeout_seconds: float, pace: Pace) -> None:
        super().__init__()
        self._pace = pace
        self._timeout_seconds = timeout_seconds
        self._client = httpx.AsyncClient(timeout=timeout_seconds, verify=_authorities())

    async def sleep_async(self, secs: float) -> None:
        """Wait before the next attempt."""
        await anyio.sleep(secs)

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """One attempt. httpx bounds each wait of it, for the connection or for some more bytes;
        an answer that comes drop by drop is given up by the bound of all of it."""
        try:
            async with self._pace.turn(writes=method.lower() != "get"):
                attempt_begun()
                with anyio.fail_after(self._timeout_seconds):
                    answer = await self._client.request(
                        method, url, headers=headers, content=post_data
                    )
        except TooManyWaitingError:
            raise _connection_error(WAITING, code=WAITING, should_retry=False) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:  # TimeoutError is an OSError
            attempt_ended(None)
            reason = f"No answer from Stripe: {type(error).__name__}."
            raise _connection_error(reason, should_retry=True) from error
        attempt_ended(answer.status_code)
        if answer.status_code == 429 and _is_of_the_account(answer.headers):
            self._pace.rest(answer.headers.get("retry-after"))
            # The next attempt rests first. By itself the package repeats no 429.
            answer.headers.setdefault("stripe-should-retry", "true")
        return answer.content, answer.status_code, answer.headers

    async def close_async(self) -> None:
        """Close the connections."""
        await self._client.aclose()


@cache
def _authorities() -> ssl.SSLContext:
    """The certificates that the package trusts, read once: that takes 20 ms."""
    return ssl.create_default_context(cafile=stripe.ca_bundle_path)


def _is_of_the_account(headers: httpx.Headers) -> bool:
    """Whether a 429 is about all that we ask, and not about one object that is locked just now
    (https://docs.stripe.com/rate-limits)."""
    reason: str = headers.get("stripe-rate-limited-reason", "global")
    return reason.startswith(("global", "endpoint"))
