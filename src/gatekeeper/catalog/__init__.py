"""The catalogue: plans, features, limits, units, packs, prices and costs, declared as code.

Pure: no I/O, no clock. `Catalog(...)` checks everything when it is built and raises one
`CatalogError` that names every fault with its place.
"""

from gatekeeper.catalog.catalog import Catalog
from gatekeeper.catalog.charges import check_chargeable
from gatekeeper.catalog.costs import Choice, Cost, Declared, Measures, Priced, ResolvedCost
from gatekeeper.catalog.currencies import CURRENCIES, Currency, find_currency, format_minor
from gatekeeper.catalog.features import (
    Combine,
    Feature,
    Limit,
    LimitPerQuantity,
    Meter,
    MeterPrice,
    OnOutage,
)
from gatekeeper.catalog.plans import LimitValue, Pack, Plan, Price, PriceEntry, PriceInterval
from gatekeeper.catalog.terms import (
    TERMS_VERSION,
    TermCap,
    TermCost,
    TermGrant,
    TermLimit,
    Terms,
    decode_terms,
    encode_terms,
)
from gatekeeper.catalog.units import (
    Cadence,
    CapSpec,
    GrantSpec,
    OnCancel,
    OnUpgrade,
    Rate,
    Term,
    Unit,
    UnitAmount,
    UnitFormula,
)

__all__ = [
    "CURRENCIES",
    "TERMS_VERSION",
    "Cadence",
    "CapSpec",
    "Catalog",
    "Choice",
    "Combine",
    "Cost",
    "Currency",
    "Declared",
    "Feature",
    "GrantSpec",
    "Limit",
    "LimitPerQuantity",
    "LimitValue",
    "Measures",
    "Meter",
    "MeterPrice",
    "OnCancel",
    "OnOutage",
    "OnUpgrade",
    "Pack",
    "Plan",
    "Price",
    "PriceEntry",
    "PriceInterval",
    "Priced",
    "Rate",
    "ResolvedCost",
    "Term",
    "TermCap",
    "TermCost",
    "TermGrant",
    "TermLimit",
    "Terms",
    "Unit",
    "UnitAmount",
    "UnitFormula",
    "check_chargeable",
    "decode_terms",
    "encode_terms",
    "find_currency",
    "format_minor",
]
