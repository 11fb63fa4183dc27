"""What the host is asked to price, and what it says."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal

import msgspec

from gatekeeper.catalog import check_chargeable
from gatekeeper.errors import InvalidInputError
from gatekeeper.types import Identity, check_amount, check_id

MAX_ITEMS_BYTES: Final = 8 * 1_024
"""The most that a client may say of what it wants, as JSON."""

MAX_DESCRIPTION_CHARS: Final = 500

MAX_KEYS: Final = 47
"""The most keys of metadata: Stripe's 50 (https://docs.stripe.com/metadata#data), less ours."""

MAX_KEY_CHARS: Final = 40
MAX_VALUE_CHARS: Final = 500

OURS: Final = "gatekeeper_"
"""The beginning of our own keys of metadata."""


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the host's function is asked to price.

    Attributes:
        identity: who asks, as the host has identified them.
        items: what they want, as the client has said it: to be checked, and priced, by the host.
        reference: the host's own id of the order, if the client has named one.
        order: the order that is being changed; None for a new one.
    """

    identity: Identity
    items: Any = None
    reference: str | None = None
    order: str | None = None


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """What an order costs, as the host's function says.

    Attributes:
        amount_minor: in minor units of `currency`, tax and all.
        currency: lower-case ISO 4217.
        description: what it is, for the customer's receipt.
        reference: the host's own id of the order, unique among the customer's.
        metadata: words of the host's that go to Stripe, and decide nothing.
        capture: "manual" holds the money until the host, or the seller, captures it.
        seller: the host's customer whose sale it is (`gate.sellers`).
        commission_minor: what of the amount the seller does not get.
        transfers: "destination" sends the seller's part with the payment; "separate" sends it by a
            transfer of its own, once the payment has come in.
    """

    amount_minor: int
    currency: str
    description: str | None = None
    reference: str | None = None
    metadata: Mapping[str, str] = {}
    capture: Literal["automatic", "manual"] = "automatic"
    seller: str | None = None
    commission_minor: int = 0
    transfers: Literal["destination", "separate"] = "destination"


Pricing = Callable[[OrderRequest], Awaitable[Quote]]
"""The host's function that prices orders."""


def check_quote(quote: object) -> Quote:
    """Return a quote that can be charged.

    Raises:
        InvalidInputError: it is none, or a part of it can't be; a quote's parts may come from what
            the client has said.
        InvalidAmountError, AmountNotChargeableError: its amount can't be paid.
    """
    if not isinstance(quote, Quote):
        raise InvalidInputError(f"A pricing returns a Quote, not {type(quote).__name__}.")
    check_chargeable(quote.amount_minor, quote.currency)
    if quote.capture not in ("automatic", "manual"):
        raise InvalidInputError("capture must be 'automatic' or 'manual'.")
    if quote.transfers not in ("destination", "separate"):
        raise InvalidInputError("transfers must be 'destination' or 'separate'.")
    if quote.reference is not None:
        check_id(quote.reference, "reference")
    if quote.description is not None:
        _check_text(quote.description, "The description", MAX_DESCRIPTION_CHARS)
    if quote.seller is not None:
        check_id(quote.seller, "seller")
        check_amount(quote.commission_minor, "The commission", minimum=0)
        if quote.commission_minor > quote.amount_minor:
            raise InvalidInputError("The commission is more than the amount.")
    elif quote.commission_minor:
        raise InvalidInputError("Only a seller's sale has a commission.")
    _check_metadata(quote.metadata)
    return quote


def checked_items(items: object) -> str:
    """What a client wants, as JSON.

    Raises:
        InvalidInputError: it is too much, or no JSON.
    """
    try:
        found = msgspec.json.encode(items)
    except (TypeError, ValueError, RecursionError, OverflowError):  # a lone surrogate, say
        raise InvalidInputError("The items must be JSON.") from None
    if len(found) > MAX_ITEMS_BYTES:
        raise InvalidInputError(f"The items take more than {MAX_ITEMS_BYTES} bytes of JSON.")
    return found.decode()


def _check_metadata(metadata: object) -> None:
    if not isinstance(metadata, Mapping):
        raise InvalidInputError("Metadata are texts by their names.")
    if len(metadata) > MAX_KEYS:
        raise InvalidInputError(f"Metadata have at most {MAX_KEYS} keys.")
    for key, value in metadata.items():
        _check_text(key, "A key of metadata", MAX_KEY_CHARS)
        _check_text(value, "A value of metadata", MAX_VALUE_CHARS)
        if "[" in key or "]" in key or key.startswith(OURS):
            raise InvalidInputError(f"Keys of metadata have no brackets, and are no {OURS}...")


def _check_text(text: object, what: str, most: int) -> None:
    if not isinstance(text, str) or not 0 < len(text) <= most:
        raise InvalidInputError(f"{what} must be a text of 1 to {most} characters.")
    if "\x00" in text or (not text.isascii() and any("\ud800" <= one <= "\udfff" for one in text)):
        raise InvalidInputError(f"{what} holds what can't be stored.")
