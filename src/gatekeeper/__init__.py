"""Gatekeeper: entitlements, credits and Stripe billing that live inside a Python web app."""

from gatekeeper import errors
from gatekeeper._version import __version__
from gatekeeper.catalog import (
    Catalog,
    Choice,
    Feature,
    Limit,
    Meter,
    MeterPrice,
    Pack,
    Plan,
    Price,
    Term,
    Unit,
)
from gatekeeper.entitlements import Entitlements
from gatekeeper.errors import GatekeeperError, MissingExtraError, UndeliverableError
from gatekeeper.gate import Gatekeeper
from gatekeeper.guards import (
    RequestState,
    checks_of,
    consumes,
    consumes_credits,
    current,
    requires_feature,
    requires_plan,
    reserve,
)
from gatekeeper.ledger import Balance, Grant, Hold
from gatekeeper.services.analytics import Analytics, AnalyticsEvent, PostHogAnalytics
from gatekeeper.services.health import Health, HealthStatus
from gatekeeper.services.notices import Letter, Letters, Notice, Notifier, SmtpNotifier
from gatekeeper.services.orders import OrderRequest, Quote
from gatekeeper.services.outbox import Signal
from gatekeeper.services.reservation import Reservation
from gatekeeper.settings import Settings
from gatekeeper.stripe.webhooks import WebhookEvent, WebhookReceiver, WebhookRegistry
from gatekeeper.sync import SyncGatekeeper
from gatekeeper.telemetry.logs import structure_logs
from gatekeeper.types import UNLIMITED, Identity

__all__ = [
    "UNLIMITED",
    "Analytics",
    "AnalyticsEvent",
    "Balance",
    "Catalog",
    "Choice",
    "Entitlements",
    "Feature",
    "Gatekeeper",
    "GatekeeperError",
    "Grant",
    "Health",
    "HealthStatus",
    "Hold",
    "Identity",
    "Letter",
    "Letters",
    "Limit",
    "Meter",
    "MeterPrice",
    "MissingExtraError",
    "Notice",
    "Notifier",
    "OrderRequest",
    "Pack",
    "Plan",
    "PostHogAnalytics",
    "Price",
    "Quote",
    "RequestState",
    "Reservation",
    "Settings",
    "Signal",
    "SmtpNotifier",
    "SyncGatekeeper",
    "Term",
    "UndeliverableError",
    "Unit",
    "WebhookEvent",
    "WebhookReceiver",
    "WebhookRegistry",
    "__version__",
    "checks_of",
    "consumes",
    "consumes_credits",
    "current",
    "errors",
    "requires_feature",
    "requires_plan",
    "reserve",
]

structure_logs()
