"""Terms: what a plan entitles to, as a snapshot that is stored with a subscription item.

A customer keeps the terms that were bought; a deploy that changes the plan does not change them.
The stored form is JSON with a version. Readers ignore fields that they don't know, so that a
release can read what the next one wrote; a change of meaning takes a new version.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from gatekeeper.catalog.features import Combine
from gatekeeper.catalog.units import Cadence, OnCancel, OnUpgrade
from gatekeeper.errors import SchemaVersionError
from gatekeeper.formulas import Formula
from gatekeeper.types import UNLIMITED, Amount, Every, Unlimited

TERMS_VERSION: Final = 1
"""The version of the stored form."""


class TermLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit's value: `value` plus `per_quantity` for each of the item's quantity."""

    value: Amount
    per_quantity: int = 0
    combine: Combine = "max"

    def of(self, quantity: int) -> Amount:
        """The limit for a subscription item of this quantity."""
        if isinstance(self.value, Unlimited):
            return UNLIMITED
        return self.value + self.per_quantity * quantity


class TermGrant(msgspec.Struct, frozen=True, kw_only=True):
    """A grant by plain keys: all that the ledger needs to know of it.

    Attributes:
        series: tells what has already been granted. `every:<key>` within a subscription item, so
            that an upgrade grants the difference; `once:<declaring plan>:<key>` within a customer,
            so that it is granted once whichever way it is reached.
        unit: the unit's key.
        plan: the plan that declares the grant; an included one if it is inherited.
        overage: the meter's key.

    The others are those of `GrantSpec`.
    """

    series: str
    unit: str
    plan: str
    amount: Amount
    cadence: Cadence
    rollover: Amount = 0
    overage: str | None = None
    overage_limit: int | None = None
    priority: int = 0
    per_quantity: bool = False
    trial: Amount | None = None
    on_cancel: OnCancel = "expire"
    expires_after_days: int | None = None
    on_upgrade: OnUpgrade = "keep"

    def amount_for(self, quantity: int, *, trialing: bool = False) -> Amount:
        """What a window grants to a subscription item of this quantity; 0 is nothing."""
        amount = self.trial if trialing else self.amount
        if amount is None:
            return 0
        if isinstance(amount, Unlimited):
            return UNLIMITED
        return amount * quantity if self.per_quantity else amount


class TermCap(msgspec.Struct, frozen=True, kw_only=True):
    """At most `limit` of a unit is used in each window of the calendar."""

    unit: str
    every: Every
    limit: int


class TermCost(msgspec.Struct, frozen=True, kw_only=True):
    """The plan's own rate of an entry of the cost table."""

    unit: str
    formula: Formula


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan entitles to.

    Attributes:
        plan: the plan's key.
        plans: the keys of the plan and of every plan that it includes: whoever has these terms
            satisfies a demand for any of them.
        features: the keys of what is switched on.
        limits: each limit's value by the limit's key.
        grants: in the order of the catalogue, the plan's own first.
        caps: the plan's own; those of included plans are not inherited.
        costs: the rates that differ from the cost table, by its keys; "chat:large" is the option
            "large" of a choice.
    """

    plan: str
    plans: frozenset[str]
    features: frozenset[str] = frozenset()
    limits: Mapping[str, TermLimit] = {}
    grants: tuple[TermGrant, ...] = ()
    version: int = TERMS_VERSION
    caps: tuple[TermCap, ...] = ()
    costs: Mapping[str, TermCost] = {}


_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_DECODER: Final = msgspec.json.Decoder(Terms)


def encode_terms(terms: Terms) -> bytes:
    """The stored form: JSON, the same bytes for equal terms."""
    return _ENCODER.encode(terms)


def decode_terms(stored: bytes | str) -> Terms:
    """Terms from their stored form.

    Raises:
        SchemaVersionError: they were written in a version that this release does not know, or
            they are no terms at all.
    """
    try:
        terms = _DECODER.decode(stored)
    except msgspec.MsgspecError as error:
        raise SchemaVersionError(f"Stored terms can't be read: {error}.") from error
    if terms.version != TERMS_VERSION:
        raise SchemaVersionError(
            f"Stored terms have version {terms.version}; this release reads {TERMS_VERSION}."
        )
    return terms
