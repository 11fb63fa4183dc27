"""Sellers: customers of the host's who are paid, and what may be done with their accounts.

What an account may do is read from its copy, which webhooks keep (`account.updated`): Stripe
enables a capability once it knows who somebody is, and takes it away when it does not any more
(https://docs.stripe.com/connect/account-capabilities).
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from gatekeeper.catalog import find_currency
from gatekeeper.errors import (
    ConflictError,
    InvalidAmountError,
    InvalidInputError,
    NotFoundError,
    SellerNotReadyError,
)
from gatekeeper.services import customers
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.sellers import Seller
from gatekeeper.types import check_amount, check_id

_COUNTRY: Final = re.compile("[A-Z]{2}")


class SellerState(msgspec.Struct, frozen=True, kw_only=True):
    """A seller, and how far Stripe has let them come.

    Attributes:
        account_id: the connected account; None while it is being made.
        default_currency: in which they are paid out.
        details_submitted: they have been through the onboarding.
        charges_enabled, payouts_enabled: Stripe lets them be paid, and paid out.
        transfers: how the capability to be sent money stands: active, pending or inactive.
        disabled_reason: why not, in Stripe's word.
        currently_due, past_due: what Stripe still wants to know, as names of its fields.
        due_by: until when, before something is disabled.
        has_left: the account has left the platform, or Stripe has it no more.
        seen_at: when that was so; None if the account was never looked at.
    """

    customer: str
    country: str
    account_id: str | None = None
    default_currency: str | None = None
    details_submitted: bool = False
    charges_enabled: bool = False
    payouts_enabled: bool = False
    transfers: str | None = None
    disabled_reason: str | None = None
    currently_due: Sequence[str] = ()
    past_due: Sequence[str] = ()
    due_by: datetime | None = None
    has_left: bool = False
    seen_at: datetime | None = None

    @property
    def may_be_charged_for(self) -> bool:
        """Whether a payment may name this seller: money can reach them."""
        return self.charges_enabled and self.transfers == "active" and not self.has_left


def open_seller(tx: Transaction, customer: str, country: str) -> Seller:
    """The seller that a customer is, made if they are none: the country stands from then on.

    Raises:
        InvalidIdError, CustomerNotFoundError: see `customers.ensure`.
        InvalidInputError: the country is none.
        ConflictError: the seller's account is of another country, which no account changes.
    """
    if not isinstance(country, str) or _COUNTRY.fullmatch(country) is None:
        raise InvalidInputError("A country is two capital letters (ISO 3166-1), such as 'IE'.")
    customers.ensure(tx, customer)
    wanted = Seller(customer=customer, country=country, created_at=tx.now())
    tx.sellers.insert(wanted)
    known = tx.sellers.get(customer, lock=True)
    assert known is not None
    if known.country != country:
        raise ConflictError(
            f"The seller's account is of {known.country}; its country can't be changed.",
            country=known.country,
        )
    return known


def seller_of(tx: Transaction, customer: str) -> Seller:
    """The seller that a customer is.

    Raises:
        InvalidIdError.
        NotFoundError: they are none.
    """
    found = tx.sellers.get(check_id(customer, "customer"))
    if found is None:
        raise NotFoundError(f"Customer {customer!r} is no seller.")
    return found


def account_of(tx: Transaction, customer: str) -> str:
    """The connected account of a seller, whatever it may do.

    Raises:
        InvalidIdError.
        NotFoundError: they are no seller.
        SellerNotReadyError: the account is being made.
    """
    found = seller_of(tx, customer)
    if found.account_id is None:
        raise SellerNotReadyError("The seller's account is still being made.", seller=customer)
    return found.account_id


def state_of(tx: Transaction, seller: Seller) -> SellerState:
    """A seller, with what the copy of their account says."""
    own = {name: getattr(seller, name) for name in ("customer", "country", "account_id")}
    copy = None if seller.account_id is None else tx.mirror.get("account", seller.account_id)
    if copy is None:
        return SellerState(**own)
    facts: dict[str, Any] = msgspec.json.decode(copy.facts)
    due_by = facts.get("requirements.current_deadline")
    return SellerState(
        **own,
        default_currency=facts.get("default_currency"),
        details_submitted=facts.get("details_submitted", False),
        charges_enabled=facts.get("charges_enabled", False),
        payouts_enabled=facts.get("payouts_enabled", False),
        transfers=facts.get("capabilities.transfers"),
        disabled_reason=facts.get("requirements.disabled_reason"),
        currently_due=tuple(facts.get("requirements.currently_due", ())),
        past_due=tuple(facts.get("requirements.past_due", ())),
        due_by=None if due_by is None else msgspec.convert(due_by, datetime),
        has_left=copy.deleted,
        seen_at=copy.seen_at,
    )


def check_sale(
    tx: Transaction, seller: str, *, amount_minor: int, commission_minor: int, currency: str
) -> str:
    """Check that a buyer may be charged for what a seller sells, with a commission of the
    platform's; returns the seller's account. Nothing may be charged before.

    A commission is at most the amount
    (https://docs.stripe.com/connect/destination-charges#application-fee).

    Raises:
        InvalidAmountError: an amount is none, or the commission is more than the whole.
        InvalidInputError: Stripe takes no such currency.
        NotFoundError: the customer is no seller.
        SellerNotReadyError: no money can reach the seller (yet), or they were deleted.
    """
    check_amount(amount_minor, "The amount of a sale")
    check_amount(commission_minor, "The commission", minimum=0)
    if commission_minor > amount_minor:
        raise InvalidAmountError("The commission is more than the amount of the sale.")
    if find_currency(currency) is None:
        raise InvalidInputError("The currency must be one that Stripe takes, such as 'eur'.")
    state = state_of(tx, seller_of(tx, seller))
    known = tx.customers.get(seller)
    gone = known is None or known.deleted_at is not None
    if gone or state.account_id is None or not state.may_be_charged_for:
        raise SellerNotReadyError(
            "No money can reach the seller: their onboarding is not finished, or Stripe has "
            "stopped it.",
            seller=seller,
            disabled_reason=state.disabled_reason,
        )
    return state.account_id
