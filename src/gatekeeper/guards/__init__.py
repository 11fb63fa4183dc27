"""Guards: what a handler demands before it runs, and the running request they ask."""

from gatekeeper.guards.checks import Check, ConsumeCheck, FeatureCheck, PlanCheck, Quantity
from gatekeeper.guards.decorators import (
    consumes,
    consumes_credits,
    credits_check,
    guard_with,
    requires_feature,
    requires_plan,
    reserve,
)
from gatekeeper.guards.placement import Endpoints, check_placement, checks_of
from gatekeeper.guards.request import RequestState, current

__all__ = [
    "Check",
    "ConsumeCheck",
    "Endpoints",
    "FeatureCheck",
    "PlanCheck",
    "Quantity",
    "RequestState",
    "check_placement",
    "checks_of",
    "consumes",
    "consumes_credits",
    "credits_check",
    "current",
    "guard_with",
    "requires_feature",
    "requires_plan",
    "reserve",
]
