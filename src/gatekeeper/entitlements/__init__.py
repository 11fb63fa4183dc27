"""Entitlements: what a customer may use, derived from what is known of them. Pure."""

from gatekeeper.entitlements.access import (
    TERMINAL,
    Access,
    AccessPolicy,
    PauseCollection,
    access_of,
    has_ended,
)
from gatekeeper.entitlements.allotments import allotment
from gatekeeper.entitlements.evaluate import (
    Entitlements,
    EntitlementsCodec,
    Source,
    decode_entitlements,
    encode_entitlements,
    evaluate,
)
from gatekeeper.entitlements.explain import explain
from gatekeeper.entitlements.explanation import (
    Explanation,
    ItemStory,
    LimitStory,
    OverrideStory,
    Turn,
)
from gatekeeper.entitlements.state import CustomerState, Item, Override, PaidLine

__all__ = [
    "TERMINAL",
    "Access",
    "AccessPolicy",
    "CustomerState",
    "Entitlements",
    "EntitlementsCodec",
    "Explanation",
    "Item",
    "ItemStory",
    "LimitStory",
    "Override",
    "OverrideStory",
    "PaidLine",
    "PauseCollection",
    "Source",
    "Turn",
    "access_of",
    "allotment",
    "decode_entitlements",
    "encode_entitlements",
    "evaluate",
    "explain",
    "has_ended",
]
