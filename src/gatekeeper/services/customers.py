"""Customers: made known by the host's sign-up, or by their first use."""

import re
from datetime import datetime
from typing import Final, Literal

from msgspec.structs import replace

from gatekeeper.entitlements import CustomerState, Override
from gatekeeper.entitlements.state import counted
from gatekeeper.errors import CustomerNotFoundError, InvalidInputError
from gatekeeper.services.outbox.caches import Invalidate, outdate
from gatekeeper.services.outbox.signals import tell
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import Customer
from gatekeeper.types import Amount, Unlimited, check_amount, check_id

MAX_TEXT_CHARS: Final = 512
"""The longest name or e-mail address that is kept; Stripe accepts as much of an e-mail address."""

_NOT_STORABLE: Final = re.compile("[\x00\ud800-\udfff]")
"""What PostgreSQL's text can't hold: NUL, and halves of UTF-16 pairs."""


def ensure(
    tx: Transaction,
    customer: str,
    *,
    email: str | None = None,
    name: str | None = None,
    is_news: bool = True,
) -> Customer:
    """The customer, made if they are not known yet. Given fields that are new are written.

    Args:
        is_news: a customer who is made is told of, by `customer.created`.

    Raises:
        InvalidIdError: the id can't be one.
        CustomerNotFoundError: the customer was deleted; an id is not used again.
    """
    check_id(customer, "customer")
    check_text(email, "e-mail address")
    check_text(name, "name")
    known = tx.customers.get(customer)
    if known is None:
        if tx.audit.is_erased(customer):
            raise deleted(customer)
        now = tx.now()
        made = Customer(id=customer, created_at=now, email=email, name=name)
        if tx.customers.insert(made) and is_news:
            tell(tx, "customer.created", customer, {}, now)
        known = tx.customers.get(customer)
    if known is not None and _told(known, email, name) != known:
        # Locked before it is written: somebody may be noting the customer's Stripe id.
        known = tx.customers.get(customer, lock=True)
    if known is None or known.deleted_at is not None:
        raise deleted(customer)
    wanted = _told(known, email, name)
    if wanted != known:
        tx.customers.save(wanted)
    return wanted


def _told(known: Customer, email: str | None, name: str | None) -> Customer:
    return replace(known, email=email or known.email, name=name or known.name)


def update(
    tx: Transaction, customer: str, *, email: str | None = None, name: str | None = None
) -> Customer:
    """Write the given fields of a known customer.

    Raises:
        CustomerNotFoundError: the customer is not known.
    """
    known = tx.customers.get(check_id(customer, "customer"))
    if known is None:
        raise CustomerNotFoundError(f"Customer {customer!r} is not known.", customer=customer)
    return ensure(tx, known.id, email=email, name=name)


def delete(tx: Transaction, customer: str) -> int:
    """Mark a customer as deleted, forgetting who they were; returns the new version.

    The ledger and its sums stay. Deleting twice changes nothing.

    Raises:
        CustomerNotFoundError: the customer was never known.
    """
    known = tx.customers.get(check_id(customer, "customer"), lock=True)
    if known is None:
        raise CustomerNotFoundError(f"Customer {customer!r} is not known.", customer=customer)
    if known.deleted_at is not None:
        return known.version
    tx.customers.save(replace(known, email=None, name=None, deleted_at=tx.now()))
    return outdate(tx, customer)


def state_of(tx: Transaction, customer: str) -> CustomerState:
    """What the customer's entitlements derive from; somebody unknown has bought nothing yet.

    Raises:
        CustomerNotFoundError: the customer was deleted.
    """
    state = tx.customers.state(customer)
    if state is not None:
        return replace(state, items=counted(state.items))
    if tx.customers.get(customer) is not None or tx.audit.is_erased(customer):
        raise deleted(customer)
    return CustomerState(customer=customer, created_at=tx.now())


def put_override(tx: Transaction, customer: str, override: Override) -> int:
    """Make an exception for a customer; returns the new version."""
    ensure(tx, customer)
    tx.customers.put_override(customer, override)
    return outdate(tx, customer)


def remove_override(tx: Transaction, customer: str, kind: str, key: str) -> int | None:
    """End an exception; returns the new version, or None if there was none."""
    check_id(customer, "customer")
    if not tx.customers.remove_override(customer, kind, key):
        return None
    return outdate(tx, customer)


def deleted(customer: str) -> CustomerNotFoundError:
    """The error for a customer who was deleted."""
    return CustomerNotFoundError(f"Customer {customer!r} was deleted.", customer=customer)


def check_text(value: str | None, what: str) -> None:
    """Refuse a text that is too long or could not be stored.

    Raises:
        InvalidInputError: naming `what` was wrong; the message never repeats the value.
    """
    if value is None:
        return
    if (
        not isinstance(value, str)
        or len(value) > MAX_TEXT_CHARS
        or _NOT_STORABLE.search(value) is not None
    ):
        raise InvalidInputError(
            f"The {what} must be a text of at most {MAX_TEXT_CHARS} characters without NUL."
        )


class CustomerDirectory:
    """The customers of one gate, for a host's sign-up hook and its support desk."""

    def __init__(self, store: Store, rules: Rules, invalidate: Invalidate) -> None:
        self._store = store
        self._rules = rules
        self._invalidate = invalidate

    async def ensure(
        self, customer: str, *, email: str | None = None, name: str | None = None
    ) -> Customer:
        """See the function `ensure`."""
        return await self._store.write(lambda tx: ensure(tx, customer, email=email, name=name))

    async def update(
        self, customer: str, *, email: str | None = None, name: str | None = None
    ) -> Customer:
        """See the function `update`."""
        return await self._store.write(lambda tx: update(tx, customer, email=email, name=name))

    async def delete(self, customer: str) -> None:
        """See the function `delete`. Their entitlements end at once."""
        version = await self._store.write(lambda tx: delete(tx, customer))
        await self._invalidate(customer, version)

    async def override_feature(
        self,
        customer: str,
        feature: str,
        *,
        on: bool = True,
        expires_at: datetime | None = None,
        reason: str | None = None,
        actor: str | None = None,
    ) -> None:
        """Give or deny one customer a feature, whatever their plan says.

        Raises:
            UnknownNameError: the catalogue has no such feature.
        """
        self._rules.catalog.feature(feature)
        await self._put(customer, "feature", feature, on, expires_at, reason, actor)

    async def override_limit(
        self,
        customer: str,
        limit: str,
        value: Amount,
        *,
        expires_at: datetime | None = None,
        reason: str | None = None,
        actor: str | None = None,
    ) -> None:
        """Set one customer's limit, whatever their plan says.

        Raises:
            UnknownNameError, InvalidAmountError.
        """
        self._rules.catalog.limit(limit)
        if not isinstance(value, Unlimited):
            check_amount(value, "A limit", minimum=0)
        await self._put(customer, "limit", limit, value, expires_at, reason, actor)

    async def override_plan(
        self,
        customer: str,
        plan: str,
        *,
        expires_at: datetime | None = None,
        reason: str | None = None,
        actor: str | None = None,
    ) -> None:
        """Give one customer a plan: its features, its limits, and its grants from now on.

        Raises:
            UnknownNameError: the catalogue has no such plan.
        """
        self._rules.catalog.plan(plan)
        await self._put(customer, "plan", plan, True, expires_at, reason, actor)

    async def remove_override(
        self, customer: str, kind: Literal["feature", "limit", "plan"], key: str
    ) -> bool:
        """End an exception; False if there was none."""
        version = await self._store.write(lambda tx: remove_override(tx, customer, kind, key))
        if version is None:
            return False
        await self._invalidate(customer, version)
        return True

    async def _put(
        self,
        customer: str,
        kind: Literal["feature", "limit", "plan"],
        key: str,
        value: bool | Amount,
        expires_at: datetime | None,
        reason: str | None,
        actor: str | None,
    ) -> None:
        if expires_at is not None and expires_at.tzinfo is None:
            raise InvalidInputError("expires_at must be an aware datetime.")
        check_text(reason, "reason")
        if actor is not None:
            check_id(actor, "actor")
        override = Override(
            kind=kind, key=key, value=value, expires_at=expires_at, reason=reason, actor=actor
        )
        version = await self._store.write(lambda tx: put_override(tx, customer, override))
        await self._invalidate(customer, version)
