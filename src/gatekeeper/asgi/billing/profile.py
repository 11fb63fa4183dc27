"""The customer's own profile: who they are, for invoices and mails."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.values import PLAIN
from gatekeeper.errors import (
    ConflictError,
    CustomerNotFoundError,
    StripeRequestError,
    StripeUnavailableError,
)
from gatekeeper.gate import Gatekeeper
from gatekeeper.stripe.profiles import Address, Profile, ProfileChanges

Name = Annotated[str, Meta(min_length=1, max_length=256, pattern=PLAIN)]
"""As long as Stripe takes one (https://docs.stripe.com/api/customers/create)."""

_MAILBOX = r"^[^\x00-\x20\x7f@]+@[^\x00-\x20\x7f@]+$(?!\n)"
_TAG = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$(?!\n)"

Email = Annotated[str, Meta(min_length=3, max_length=512, pattern=_MAILBOX)]
Locale = Annotated[str, Meta(min_length=2, max_length=35, pattern=_TAG)]
"""An IETF language tag (https://www.rfc-editor.org/info/bcp47), such as "fr" or "nl-BE"."""

Part = Annotated[str, Meta(max_length=200, pattern=PLAIN)]
Country = Annotated[str, Meta(min_length=2, max_length=2, pattern="^[A-Z]{2}$")]


class AddressView(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A postal address.

    Attributes:
        country: two letters of ISO 3166-1.
    """

    line1: Part | None = None
    line2: Part | None = None
    city: Part | None = None
    state: Part | None = None
    postal_code: Part | None = None
    country: Country | None = None


class ProfileView(msgspec.Struct, frozen=True, kw_only=True):
    """Who the customer is.

    Attributes:
        locale: the language of invoices and mails; an IETF language tag.
    """

    name: str | None
    email: str | None
    locale: str | None
    address: AddressView | None


class ProfileBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What to change; what is not named stays. An address takes the other's place as a whole."""

    name: Name | UnsetType = UNSET
    email: Email | UnsetType = UNSET
    locale: Locale | UnsetType = UNSET
    address: AddressView | UnsetType = UNSET


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operations."""

    async def get(call: Call) -> ProfileView:
        return _shown(await gate.profiles.get(call.customer))

    async def update(call: Call[ProfileBody]) -> ProfileView:
        body = call.body
        address = body.address
        changes = ProfileChanges(
            name=body.name,
            email=body.email,
            locale=body.locale,
            address=Address(**msgspec.structs.asdict(address))
            if isinstance(address, AddressView)
            else UNSET,
        )
        return _shown(await gate.profiles.update(call.customer, changes))

    stripe = (StripeUnavailableError, StripeRequestError)
    return (
        Operation(
            "GET",
            "/profile",
            get,
            summary="Who the customer is, for invoices and mails.",
            answer=ProfileView,
            errors=(CustomerNotFoundError, *stripe),
        ),
        Operation(
            "PATCH",
            "/profile",
            update,
            summary="Change the profile.",
            body=ProfileBody,
            answer=ProfileView,
            errors=(CustomerNotFoundError, ConflictError, *stripe),
        ),
    )


def _shown(profile: Profile) -> ProfileView:
    address = profile.address
    return ProfileView(
        name=profile.name,
        email=profile.email,
        locale=profile.locale,
        address=None if address is None else AddressView(**msgspec.structs.asdict(address)),
    )
