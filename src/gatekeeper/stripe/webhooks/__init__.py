"""Webhooks: from the bytes that arrive to the state that follows from them."""

from gatekeeper.stripe.webhooks.answer import WebhookAnswer
from gatekeeper.stripe.webhooks.carrier import PROJECTION
from gatekeeper.stripe.webhooks.commits import IntakeLimits
from gatekeeper.stripe.webhooks.control import EventControl, EventDetails
from gatekeeper.stripe.webhooks.dispatcher import Dispatcher
from gatekeeper.stripe.webhooks.event import WebhookEvent
from gatekeeper.stripe.webhooks.handlers import EVENT_TYPES, Projections
from gatekeeper.stripe.webhooks.policy import DispatchPolicy
from gatekeeper.stripe.webhooks.projecting import Complete, Projector
from gatekeeper.stripe.webhooks.receiver import WebhookReceiver
from gatekeeper.stripe.webhooks.registry import WebhookHandler, WebhookRegistry
from gatekeeper.stripe.webhooks.waking import Wake

__all__ = [
    "EVENT_TYPES",
    "PROJECTION",
    "Complete",
    "DispatchPolicy",
    "Dispatcher",
    "EventControl",
    "EventDetails",
    "IntakeLimits",
    "Projections",
    "Projector",
    "Wake",
    "WebhookAnswer",
    "WebhookEvent",
    "WebhookHandler",
    "WebhookReceiver",
    "WebhookRegistry",
]
