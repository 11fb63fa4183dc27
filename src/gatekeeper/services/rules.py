"""What every service decides by: the catalogue, the access policy, and the length of a hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType

from gatekeeper.catalog import Catalog, Terms
from gatekeeper.entitlements import AccessPolicy


@dataclass(frozen=True, slots=True)
class Rules:
    """The declared rules of one gate; immutable.

    Attributes:
        terms_of: what each plan of the catalogue entitles to today.
        default_terms: what a customer has who bought nothing.
    """

    catalog: Catalog
    policy: AccessPolicy = field(default_factory=AccessPolicy)
    hold_ttl: timedelta = timedelta(minutes=5)
    terms_of: Mapping[str, Terms] = field(init=False, repr=False)
    default_terms: Terms = field(init=False, repr=False)

    def __post_init__(self) -> None:
        terms = {key: self.catalog.terms(key) for key in self.catalog.plans}
        object.__setattr__(self, "terms_of", MappingProxyType(terms))
        object.__setattr__(self, "default_terms", terms[self.catalog.default_plan.key])
