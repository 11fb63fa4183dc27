"""What every service decides by: the catalogue, the access policy, and the length of a hold."""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Final, Literal

from gatekeeper.catalog import Catalog, Terms, Unit, encode_terms
from gatekeeper.entitlements import AccessPolicy
from gatekeeper.ledger import UnitPolicy
from gatekeeper.projection.velocity import VelocityRule
from gatekeeper.telemetry import OFF, Telemetry

_NO_POLICY: Final = UnitPolicy()


@dataclass(frozen=True, slots=True)
class FreezePolicy:
    """What freezes a customer's credits.

    Attributes:
        on_fraud_warning: an early fraud warning of one of their payments.
        on_dispute: a dispute that takes money. (An inquiry does not.)
        on_review: a review of one of their payments, while it is open.
        lift_when_won: the freeze of a dispute ends when it is won, without anybody's doing.
    """

    on_fraud_warning: bool = True
    on_dispute: bool = False
    on_review: bool = False
    lift_when_won: bool = True


Downgrades = Literal["period_end", "now"]
"""When a change to less takes effect: with the next period, or at once, with a credit."""

PartialRefunds = Literal["take_back", "keep"]
"""Whether a refund of a part of a subscription's invoice takes back its part of the credits."""


DisputeBearer = Literal["platform", "seller"]
"""Whose loss it is when a buyer disputes what a seller has sold."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The declared rules of one gate; immutable.

    Attributes:
        velocity: what of a customer's payments is too much in too short a time.
        partial_refunds: of subscriptions' invoices; a refund in full always takes back.
        disputes_borne_by: "seller" gives back their share while the money is withdrawn.
        tells: whether subscriptions and payments that change are news; not while an account is
            taken over, whose customers have had them for long.
        telemetry: who is told what has been decided. No rule, but at hand wherever the rules are.
        terms_of: what each plan of the catalogue entitles to today.
        default_terms: what a customer has who bought nothing.
        key: a fingerprint of all that decides what an account has due: an account that was brought
            up to date by other rules has to be looked at again.
    """

    catalog: Catalog
    policy: AccessPolicy = field(default_factory=AccessPolicy)
    hold_ttl: timedelta = timedelta(minutes=5)
    freezes: FreezePolicy = field(default_factory=FreezePolicy)
    partial_refunds: PartialRefunds = "take_back"
    disputes_borne_by: DisputeBearer = "platform"
    tells: bool = True
    velocity: tuple[VelocityRule, ...] = ()
    telemetry: Telemetry = field(default=OFF, repr=False, compare=False)
    terms_of: Mapping[str, Terms] = field(init=False, repr=False)
    default_terms: Terms = field(init=False, repr=False)
    key: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        terms = {key: self.catalog.terms(key) for key in self.catalog.plans}
        object.__setattr__(self, "terms_of", MappingProxyType(terms))
        object.__setattr__(self, "default_terms", terms[self.catalog.default_plan.key])
        object.__setattr__(self, "key", self._fingerprint())

    def policy_of(self, unit: str) -> UnitPolicy:
        """What the catalogue declares of a unit; nothing, of one that it no longer has."""
        declared = self.catalog.units.get(unit)
        return _NO_POLICY if declared is None else _policy(declared)

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(repr((self.policy, self.catalog.calendar_windows)).encode())
        digest.update(self.catalog.default_plan.key.encode())
        for _, terms in sorted(self.terms_of.items()):
            digest.update(encode_terms(terms))
        return digest.hexdigest()[:16]


@functools.lru_cache(maxsize=256)
def _policy(unit: Unit) -> UnitPolicy:
    hours = unit.expiry_notice_hours
    return UnitPolicy(
        low=unit.low,
        expiry_notice=None if hours is None else timedelta(hours=hours),
        late_return=timedelta(hours=unit.late_return_hours),
    )
