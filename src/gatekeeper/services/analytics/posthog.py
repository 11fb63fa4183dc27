"""PostHog (https://posthog.com/docs/api/capture).

Its own package puts events into a queue in memory and sends them from a thread: what is in it at a
crash is lost, and a failure is logged and not raised. Here each event is one request whose answer
decides whether it was delivered. It carries a `uuid`, by which PostHog counts a repetition once.
"""

import ssl
from typing import Final

from gatekeeper.errors import UnavailableError, UndeliverableError
from gatekeeper.services.analytics.port import Analytics, AnalyticsEvent

EU: Final = "https://eu.i.posthog.com"
US: Final = "https://us.i.posthog.com"

_WAIT: Final = frozenset({401, 403, 408, 425, 429})
"""A key that is wrong is a setting that somebody will mend; the others say "later"."""


class PostHogAnalytics(Analytics):
    """Sends events to PostHog.

    Args:
        project_key: "phc_...": not a secret, but of this one project.
        host: where the project is: `EU`, `US`, or an own server.
        timeout_seconds: for one request.
    """

    def __init__(self, project_key: str, *, host: str = EU, timeout_seconds: float = 10.0) -> None:
        self._project_key = project_key
        self._url = f"{host.rstrip('/')}/batch/"
        self._timeout_seconds = timeout_seconds
        self._context = ssl.create_default_context()

    async def capture(self, event: AnalyticsEvent) -> None:
        import httpx  # here: it takes 0.2 s, which only those pay who use it

        body = {"api_key": self._project_key, "batch": [_captured(event)]}
        try:
            # A client for each: nothing is left open, on whichever event loop. Events are few.
            async with httpx.AsyncClient(
                verify=self._context, timeout=self._timeout_seconds
            ) as client:
                answer = await client.post(self._url, json=body)
        except httpx.TransportError as error:
            raise UnavailableError(f"PostHog can't be reached: {type(error).__name__}.") from error
        if answer.is_success:
            return
        status = answer.status_code
        if answer.is_server_error or status in _WAIT:
            raise UnavailableError(f"PostHog takes no events at present ({status}).")
        raise UndeliverableError(f"PostHog refuses the event ({status}): {answer.text[:200]}")


def _captured(event: AnalyticsEvent) -> dict[str, object]:
    return {
        "uuid": event.id,
        "event": event.name,
        "distinct_id": event.customer,
        "timestamp": event.at.isoformat(),
        "properties": {
            **event.properties,
            "$lib": "gatekeeper",
            # No person is made of a customer, and no place of our server's address.
            "$process_person_profile": False,
            "$geoip_disable": True,
        },
    }
