"""How requests to Stripe travel: httpx, as the `stripe` package uses it, with the body passed so
that no release of httpx complains of it (`content=`; the package's own client passes `data=`).
"""

import ssl
from collections.abc import Mapping
from typing import Any

import httpx
import stripe

from gatekeeper.stripe.pacing import Pace, TooManyWaitingError
from gatekeeper.stripe.refusals import WAITING
from gatekeeper.stripe.telling import count_attempt

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
        authorities = ssl.create_default_context(cafile=stripe.ca_bundle_path)
        self._client = httpx.AsyncClient(timeout=timeout_seconds, verify=authorities)

    async def sleep_async(self, secs: float) -> None:
        """Wait before the next attempt."""
        import anyio

        await anyio.sleep(secs)

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """One attempt."""
        try:
            async with self._pace.turn(writes=method.lower() != "get"):
                count_attempt()
                answer = await self._client.request(method, url, headers=headers, content=post_data)
        except TooManyWaitingError:
            raise _connection_error(WAITING, code=WAITING, should_retry=False) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason = f"No answer from Stripe: {type(error).__name__}."
            raise _connection_error(reason, should_retry=True) from error
        if answer.status_code == 429 and _is_of_the_account(answer.headers):
            self._pace.rest(answer.headers.get("retry-after"))
            # The next attempt rests first. By itself the package repeats no 429.
            answer.headers.setdefault("stripe-should-retry", "true")
        return answer.content, answer.status_code, answer.headers

    async def close_async(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _is_of_the_account(headers: httpx.Headers) -> bool:
    """Whether a 429 is about all that we ask, and not about one object that is locked just now
    (https://docs.stripe.com/rate-limits)."""
    reason: str = headers.get("stripe-rate-limited-reason", "global")
    return reason.startswith(("global", "endpoint"))
