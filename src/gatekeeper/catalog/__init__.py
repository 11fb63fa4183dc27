"""The catalogue: plans, features, limits, units, packs, prices and costs, declared as code.

Pure: no I/O, no clock. `Catalog(...)` checks everything when it is built and raises one
`CatalogError` that names every fault with its place.
"""

from gatekeeper.catalog.catalog import Catalog
from gatekeeper.catalog.costs import Cost
from gatekeeper.catalog.currencies import CURRENCIES, Currency, find_currency, format_minor
from gatekeeper.catalog.features import (
    Combine,
    Feature,
    Limit,
    LimitPerQuantity,
    Meter,
    OnOutage,
)
from gatekeeper.catalog.plans import LimitValue, Pack, Plan, Price, PriceEntry, PriceInterval
from gatekeeper.catalog.terms import (
    TERMS_VERSION,
    TermGrant,
    TermLimit,
    Terms,
    decode_terms,
    encode_terms,
)
from gatekeeper.catalog.units import Cadence, GrantSpec, OnCancel, Rate, Unit, UnitAmount

__all__ = [
    "CURRENCIES",
    "TERMS_VERSION",
    "Cadence",
    "Catalog",
    "Combine",
    "Cost",
    "Currency",
    "Feature",
    "GrantSpec",
    "Limit",
    "LimitPerQuantity",
    "LimitValue",
    "Meter",
    "OnCancel",
    "OnOutage",
    "Pack",
    "Plan",
    "Price",
    "PriceEntry",
    "PriceInterval",
    "Rate",
    "TermGrant",
    "TermLimit",
    "Terms",
    "Unit",
    "UnitAmount",
    "decode_terms",
    "encode_terms",
    "find_currency",
    "format_minor",
]
