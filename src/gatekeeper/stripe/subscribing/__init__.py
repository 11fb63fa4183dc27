"""Subscribing in the host's own page: starts, changes, ends, and saved payment methods."""

from gatekeeper.stripe.subscribing.desk import Subscribing
from gatekeeper.stripe.subscribing.means import Means, SubscribingPolicy
from gatekeeper.stripe.subscribing.payment_methods import PaymentMethods
from gatekeeper.stripe.subscribing.values import (
    Changed,
    Confirms,
    Preview,
    PreviewLine,
    PromotionCode,
    SavedMethod,
    Secret,
    SetupStarted,
    Started,
    When,
)

__all__ = [
    "Changed",
    "Confirms",
    "Means",
    "PaymentMethods",
    "Preview",
    "PreviewLine",
    "PromotionCode",
    "SavedMethod",
    "Secret",
    "SetupStarted",
    "Started",
    "Subscribing",
    "SubscribingPolicy",
    "When",
]
