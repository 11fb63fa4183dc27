"""Analytics: what happens to customers, for whoever counts it.

`port` says what an analytics tool is, `desk` makes events of signals and leaves out who people are,
`denials` tells of refusals without slowing them, and `posthog` sends to PostHog.
"""

from gatekeeper.services.analytics.denials import Denials
from gatekeeper.services.analytics.desk import EVENTS, RECEIVER, AnalyticsDesk, check_events
from gatekeeper.services.analytics.port import Analytics, AnalyticsEvent
from gatekeeper.services.analytics.posthog import PostHogAnalytics

__all__ = [
    "EVENTS",
    "RECEIVER",
    "Analytics",
    "AnalyticsDesk",
    "AnalyticsEvent",
    "Denials",
    "PostHogAnalytics",
    "check_events",
]
