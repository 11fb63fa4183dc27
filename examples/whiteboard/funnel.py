"""Who looked at the prices, went to the checkout, and paid: what analytics are told.

Gatekeeper tells of what it knows by itself (`gate.analyse`): sign-ups, checkouts, payments. What
only a page can know, that somebody has looked at the prices, goes the same way. With
GATEKEEPER_POSTHOG_KEY it all goes to PostHog; without, it is only kept here, for the page.
"""

from uuid import uuid4

from gatekeeper import Analytics, AnalyticsEvent, Gatekeeper, PostHogAnalytics
from gatekeeper.types import utc_now

PRICING = "pricing.viewed"
TOLD = (
    "customer.created",
    "access.denied",
    "checkout.started",
    "payment.succeeded",
    "payment.failed",
    "subscription.changed",
    "top_up.failed",
    "top_up.blocked",
)
"""The events of Gatekeeper's own that this app counts."""
KEPT = 500


class Funnel(Analytics):
    """Keeps the last events of this process, and hands them on to PostHog where there is a key."""

    def __init__(self, onward: Analytics | None = None) -> None:
        self._onward = onward
        self._events: dict[str, AnalyticsEvent] = {}

    async def capture(self, event: AnalyticsEvent) -> None:
        """Count one event; one that comes again counts once."""
        if self._onward is not None:
            await self._onward.capture(event)
        self._events[event.id] = event
        while len(self._events) > KEPT:
            del self._events[next(iter(self._events))]

    async def viewed(self, customer: str, came_from: str) -> None:
        """Somebody has looked at the prices."""
        event = AnalyticsEvent(
            id=str(uuid4()),
            name=PRICING,
            customer=customer,
            at=utc_now(),
            properties={"from": came_from},
        )
        await self.capture(event)

    def of(self, customer: str) -> list[str]:
        """The names of a customer's events, the oldest first."""
        return [one.name for one in self._events.values() if one.customer == customer]


def funnel_of(gate: Gatekeeper) -> Funnel:
    """The funnel of a gate that is not open yet."""
    key, host = gate.settings.posthog_key, gate.settings.posthog_host
    onward = None if key is None else PostHogAnalytics(key.get_secret_value(), host=host)
    funnel = Funnel(onward)
    gate.analyse(funnel, events=TOLD)
    return funnel
