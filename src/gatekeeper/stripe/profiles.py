"""Who a customer is, as they may read and change it themselves.

Name and e-mail address are kept here and at Stripe, and are the host's own to know. Address and
language are for invoices and receipts, and stay with Stripe: no copy of ours names a person's home.
(https://docs.stripe.com/api/customers/object)
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import UNSET, UnsetType

from gatekeeper.errors import ConflictError, StripeRequestError
from gatekeeper.services import customers
from gatekeeper.storage.outgoing import OutgoingRequest
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import Customer
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.identities import StripeIdentities
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.types import check_id

_OPERATION: Final = "customers update"
_CHANGED_AT: Final = "gatekeeper_profile_at"
"""The key of metadata that says when a profile was changed last, so that a change which a crash has
delayed does not undo a later one."""


class Address(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A postal address. `country` is two letters of ISO 3166-1."""

    line1: str | None = None
    line2: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer has said of themselves. `locale` is the language of their invoices and mails
    from Stripe: the first of `preferred_locales`, an IETF language tag."""

    name: str | None = None
    email: str | None = None
    locale: str | None = None
    address: Address | None = None


class ProfileChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of a profile; what is not said stays. An address takes the other's place as a
    whole."""

    name: str | UnsetType = UNSET
    email: str | UnsetType = UNSET
    locale: str | UnsetType = UNSET
    address: Address | UnsetType = UNSET

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be changed."""
        return all(value is UNSET for value in msgspec.structs.astuple(self))


class ProfilesAtStripe(msgspec.Struct, frozen=True):
    """What profiles need where there is a key of Stripe's."""

    gateway: StripeGateway
    outgoing: OutgoingRequests
    identities: StripeIdentities


class Profiles:
    """The profiles of the customers of one gate. Without Stripe there are names and addresses of
    e-mail alone."""

    def __init__(self, store: Store, at_stripe: ProfilesAtStripe | None) -> None:
        self._store = store
        self._at_stripe = at_stripe
        if at_stripe is not None:
            at_stripe.outgoing.on_resumed(
                _OPERATION, _keep_resumed, look=self._look, looks_first=True
            )

    async def get(self, customer: str) -> Profile:
        """A customer's profile; of somebody unknown it is empty.

        Raises:
            CustomerNotFoundError: the customer was deleted.
            StripeUnavailableError, StripeRequestError.
        """
        row = await self._row(customer)
        found: Obj = {}
        if row is not None and row.stripe_id is not None and self._at_stripe is not None:
            fetched = await self._at_stripe.gateway.fetch("customer", row.stripe_id)
            found = {} if fetched is None or fetched.get("deleted") else fetched
        return Profile(
            name=None if row is None else row.name,
            email=None if row is None else row.email,
            locale=next(iter(found.get("preferred_locales") or ()), None),
            address=_address(found.get("address")),
        )

    async def update(self, customer: str, changes: ProfileChanges) -> Profile:
        """Change a profile, here and at Stripe; returns it as it is then. Twice is as once.

        Without a Stripe customer, a name and an e-mail address are noted here, and told to Stripe
        when the customer is made there; what only Stripe keeps makes them there at once.

        Raises:
            InvalidInputError, InvalidIdError.
            ConflictError: an address or a language, where there is no Stripe.
            CustomerNotFoundError, StripeUnavailableError, StripeRequestError.
        """
        row = await self._row(customer)
        if changes.is_empty:
            return await self.get(customer)
        for value, what in ((changes.name, "name"), (changes.email, "e-mail address")):
            customers.check_text(None if value is UNSET else str(value), what)
        only_stripes = changes.locale is not UNSET or changes.address is not UNSET
        if self._at_stripe is None and only_stripes:
            raise ConflictError("Addresses and languages are kept by Stripe, which is not set up.")
        known_there = row is not None and row.stripe_id is not None
        if self._at_stripe is None or not (known_there or only_stripes):
            await self._store.write(lambda tx: _keep(tx, customer, _own(changes)))
            return await self.get(customer)
        ensure = self._at_stripe.identities.ensure
        stripe_id = await ensure(customer)
        try:
            await self._post(self._at_stripe, customer, stripe_id, changes)
        except StripeRequestError as error:
            if error.params.get("stripe_code") != "resource_missing":
                raise
            another = await ensure(customer, instead_of=stripe_id)  # Stripe has deleted the first
            await self._post(self._at_stripe, customer, another, changes)
        return await self.get(customer)

    async def _post(
        self, there: ProfilesAtStripe, customer: str, stripe_id: str, changes: ProfileChanges
    ) -> None:
        await there.outgoing.post(
            _OPERATION,
            f"/v1/customers/{quote(stripe_id, safe='')}",
            _params(changes, await self._store.read(lambda tx: tx.now().isoformat())),
            customer=customer,
            settle=lambda tx, answer: _keep(tx, customer, _own(changes)),
            keeps_trying=False,  # whoever asked has been told that it failed
        )

    async def _row(self, customer: str) -> Customer | None:
        check_id(customer, "customer")

        def work(tx: Transaction) -> Customer | None:
            row = tx.customers.get(customer)
            if (row is not None and row.deleted_at is not None) or tx.audit.is_erased(customer):
                raise customers.deleted(customer)
            return row

        return await self._store.read(work)

    async def _look(self, request: OutgoingRequest) -> Obj | None:
        """The customer, if this change was made.

        Raises:
            ConflictError: a later one was.
        """
        assert self._at_stripe is not None  # else nothing was sent
        stripe_id = request.path.split("/")[-1]
        found = await self._at_stripe.gateway.fetch("customer", stripe_id)
        asked = msgspec.json.decode(request.params)["metadata"][_CHANGED_AT]
        last = str(((found or {}).get("metadata") or {}).get(_CHANGED_AT, ""))
        if last > asked:
            raise ConflictError("The profile was changed since.")
        return found if last == asked else None


def _own(changes: ProfileChanges) -> dict[str, str]:
    """What is kept here of the changes."""
    given = {"name": changes.name, "email": changes.email}
    return {key: value for key, value in given.items() if isinstance(value, str)}


def _keep(tx: Transaction, customer: str, own: Mapping[str, str]) -> None:
    customers.ensure(tx, customer, name=own.get("name"), email=own.get("email"))


def _keep_resumed(tx: Transaction, request: OutgoingRequest, answer: Obj) -> None:
    """The change was made after a crash: what it said of name and e-mail address holds here too."""
    row = None if request.customer is None else tx.customers.get(request.customer)
    if row is None or row.deleted_at is not None:
        return
    asked = msgspec.json.decode(request.params)
    _keep(tx, row.id, {key: asked[key] for key in ("name", "email") if key in asked})


def _params(changes: ProfileChanges, at: str) -> dict[str, Any]:
    """The body for Stripe. An empty text unsets a field there."""
    params: dict[str, Any] = {"metadata": {_CHANGED_AT: at}, **_own(changes)}
    if isinstance(changes.locale, str):
        params["preferred_locales"] = [changes.locale]
    if isinstance(changes.address, Address):
        fields = msgspec.structs.asdict(changes.address)
        params["address"] = {key: value or "" for key, value in fields.items()}
    return params


def _address(found: object) -> Address | None:
    """Stripe's address; None if nothing of it is known."""
    if not isinstance(found, dict):
        return None
    known = {key: found.get(key) or None for key in Address.__struct_fields__}
    return Address(**known) if any(known.values()) else None
