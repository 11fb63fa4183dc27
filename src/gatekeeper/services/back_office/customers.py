"""What people do for customers, and to them: each change with its record, in one transaction."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypeVar

import msgspec

from gatekeeper.entitlements import Override
from gatekeeper.errors import ConflictError, CustomerNotFoundError, InvalidInputError, NotFoundError
from gatekeeper.ledger import Balance, Grant
from gatekeeper.services import accounts, customers, freezes
from gatekeeper.services.audit import Auditor
from gatekeeper.services.audit.erasure import Erased
from gatekeeper.services.back_office.mandates import Act, Change, Mandate, act, carry_out
from gatekeeper.services.back_office.pictures import Picture, picture
from gatekeeper.services.credit_options import lapsed_in, manual_grant, revocation
from gatekeeper.services.ledger.batch import carry_out as carry_out_command
from gatekeeper.services.ledger.commands import AccountChange, GrantCommand
from gatekeeper.services.outbox.caches import Invalidate
from gatekeeper.services.rules import Rules
from gatekeeper.storage.actions import Action
from gatekeeper.storage.audit import hash_of
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import Customer, CustomerSearch
from gatekeeper.types import Amount, Unlimited, check_amount, check_id, check_limit

T = TypeVar("T")

OverrideKind = Literal["feature", "limit", "plan"]

_OVERRIDES: Final = ("feature", "limit", "plan")


class CustomerDesk:
    """The customers of one gate, as the back office sees them."""

    def __init__(
        self, store: Store, rules: Rules, invalidate: Invalidate, auditor: Auditor
    ) -> None:
        self._store = store
        self._rules = rules
        self._invalidate = invalidate
        self._auditor = auditor

    # -- looking ----------------------------------------------------------------------------------

    async def find(
        self, search: CustomerSearch | None = None, *, limit: int = 100, after: str | None = None
    ) -> Sequence[Customer]:
        """Customers in the order of their ids, beginning after one.

        Raises:
            InvalidInputError: `limit` is not from 1 to 1000, or what is looked for can't be stored.
        """
        check_limit(limit)
        wanted = search or CustomerSearch()
        customers.check_text(wanted.email, "e-mail address")
        customers.check_text(wanted.name, "name")
        return await self._store.read(lambda tx: tx.customers.find(wanted, limit, after))

    async def picture(self, customer: str) -> Picture:
        """All that there is of a customer, at one moment.

        Raises:
            CustomerNotFoundError: nobody of this id is known, or they were deleted.
        """
        check_id(customer, "customer")
        return await self._store.read(lambda tx: picture(tx, self._rules, customer))

    # -- credits ----------------------------------------------------------------------------------

    async def grant(
        self,
        mandate: Mandate,
        customer: str,
        unit: str,
        amount: int,
        *,
        expires_at: datetime | None = None,
        kind: Literal["manual", "promotional"] = "manual",
    ) -> Action:
        """Give a customer `amount` of a unit. `after` of the action names the grant.

        Raises:
            UnknownNameError, InvalidAmountError, InvalidInputError, InvalidIdError.
            CustomerNotFoundError: nobody of this id is known.
            IdempotencyConflictError.
        """
        self._rules.catalog.unit(unit)
        command = manual_grant(
            amount, reason=mandate.reason, actor=mandate.actor, expires_at=expires_at, kind=kind
        )
        to_do = act(
            mandate,
            "credits.grant",
            customer=customer,
            unit=unit,
            amount=amount,
            expires_at=expires_at,
            grant_kind=kind,
        )

        def give(tx: Transaction) -> Change:
            before = self._locked(tx, customer, unit)
            wanted = GrantCommand(self._rules, (customer, unit), command)
            grant: Grant = carry_out_command(tx, self._rules, wanted)
            after = self._balance(tx, customer, unit)
            return Change(
                before=_facts(before),
                after={**_facts(after), "grant": grant.id, "amount": amount},
                subject=f"grant/{grant.id}",
            )

        return await carry_out(self._store, to_do, give)

    async def revoke(self, mandate: Mandate, customer: str, unit: str, grant_id: str) -> Action:
        """End a grant now; what holds have claimed of it stays theirs. `after` of the action says
        how much lapsed.

        Raises:
            UnknownNameError, InvalidInputError, InvalidIdError.
            NotFoundError: the customer's account has no such grant, or nothing of it is left.
            IdempotencyConflictError.
        """
        self._rules.catalog.unit(unit)
        command = revocation(grant_id, reason=mandate.reason, actor=mandate.actor)
        to_do = act(mandate, "credits.revoke", customer=customer, unit=unit, grant=grant_id)

        def end(tx: Transaction) -> Change:
            before = self._locked(tx, customer, unit)
            wanted = AccountChange((customer, unit), command)
            change = carry_out_command(tx, self._rules, wanted)
            if not lapsed_in(change):
                raise NotFoundError(f"There is nothing left of a grant {grant_id!r}.")
            after = self._balance(tx, customer, unit)
            return Change(
                before=_facts(before),
                after={**_facts(after), "lapsed": lapsed_in(change)},
                subject=f"grant/{grant_id}",
            )

        return await carry_out(self._store, to_do, end)

    # -- freezes ----------------------------------------------------------------------------------

    async def freeze(self, mandate: Mandate, customer: str, key: str) -> Action:
        """Refuse new holds of a customer's credits until they are unfrozen. `key` names what it is
        for ("case/17"): the same freezes once.

        Raises:
            CustomerNotFoundError.
            ConflictError: there is, or was, a freeze of this key.
            IdempotencyConflictError.
        """
        check_id(key, "key of a freeze")
        to_do = act(mandate, "customer.freeze", customer=customer, key=key)

        def work(tx: Transaction) -> tuple[Change, int]:
            _known(tx, customer)
            version = freezes.freeze(tx, customer, key, mandate.reason)
            if version is None:
                raise ConflictError(f"There is, or was, a freeze {key!r} already.")
            return Change(after={"frozen": key}, subject=f"freeze/{key}"), version

        return await self._outdating(to_do, customer, work)

    async def unfreeze(self, mandate: Mandate, customer: str, key: str | None = None) -> Action:
        """Lift a customer's freezes, or the one of `key`.

        Raises:
            NotFoundError: none is in force.
            IdempotencyConflictError.
        """
        to_do = act(mandate, "customer.unfreeze", customer=customer, key=key)

        def work(tx: Transaction) -> tuple[Change, int]:
            _known(tx, customer)
            lifted = [
                one.key
                for one in tx.freezes.of(customer)
                if one.lifted_at is None and key in (None, one.key)
            ]
            version = freezes.unfreeze(tx, customer, mandate.actor, key=key)
            if version is None:
                raise NotFoundError("No such freeze is in force.")
            return Change(before={"frozen": lifted}, after={"lifted": lifted}), version

        return await self._outdating(to_do, customer, work)

    # -- exceptions -------------------------------------------------------------------------------

    async def override(
        self,
        mandate: Mandate,
        customer: str,
        kind: OverrideKind,
        key: str,
        value: bool | Amount = True,
        *,
        expires_at: datetime | None = None,
    ) -> Action:
        """Make an exception for a customer: give or deny a feature, set a limit, give a plan.

        Raises:
            UnknownNameError: the catalogue has no such feature, limit or plan.
            InvalidInputError, InvalidAmountError: the value is none for it.
            CustomerNotFoundError, IdempotencyConflictError.
        """
        self._check_override(kind, key, value)
        if expires_at is not None and expires_at.tzinfo is None:
            raise InvalidInputError("expires_at must be an aware datetime.")
        to_do = act(
            mandate,
            "customer.override",
            customer=customer,
            override=[kind, key, value],
            expires_at=expires_at,
        )
        wanted = Override(
            kind=kind,
            key=key,
            value=value,
            expires_at=expires_at,
            reason=mandate.reason,
            actor=mandate.actor,
        )

        def work(tx: Transaction) -> tuple[Change, int]:
            _known(tx, customer)
            before = _override_of(tx, customer, kind, key)
            version = customers.put_override(tx, customer, wanted)
            return (
                Change(
                    before=before,
                    after={"value": value, "expires_at": expires_at},
                    subject=f"{kind}/{key}",
                ),
                version,
            )

        return await self._outdating(to_do, customer, work)

    async def remove_override(
        self, mandate: Mandate, customer: str, kind: OverrideKind, key: str
    ) -> Action:
        """End an exception.

        Raises:
            NotFoundError: there is none.
            CustomerNotFoundError, IdempotencyConflictError.
        """
        to_do = act(mandate, "customer.override_end", customer=customer, override=[kind, key])

        def work(tx: Transaction) -> tuple[Change, int]:
            _known(tx, customer)
            before = _override_of(tx, customer, kind, key)
            version = customers.remove_override(tx, customer, kind, key)
            if version is None:
                raise NotFoundError(f"There is no exception for {kind} {key!r}.")
            return Change(before=before, subject=f"{kind}/{key}"), version

        return await self._outdating(to_do, customer, work)

    # -- the end ----------------------------------------------------------------------------------

    async def erase(self, mandate: Mandate, customer: str, *, force: bool = False) -> Action:
        """Erase a customer for good; see `services.audit.erasure`. The record is kept under the
        pseudonym: name nobody in the reason.

        Raises:
            CustomerNotFoundError: nothing is known of them, or they were erased before.
            CustomerActiveError: something is not finished.
            IdempotencyConflictError.
        """
        check_id(customer, "customer")
        to_do = act(mandate, "customer.erase", erased=hash_of(customer), force=force)
        known = await self._store.read(to_do.done)
        if known is not None:
            return known
        made: list[Action] = []

        def note(tx: Transaction, done: Erased) -> None:
            change = Change(
                after={"released": done.released, "unbilled": done.unbilled},
                customer=done.pseudonym,
            )
            made[:] = [to_do.record(tx, change)]

        await self._auditor.erase(customer, force=force, note=note)
        return made[0]

    async def _outdating(
        self, to_do: Act, customer: str, work: Callable[[Transaction], tuple[Change, int]]
    ) -> Action:
        """Carry out what gives a customer's entitlements a new version, and tell the cache."""
        versions: list[int] = []

        def effect(tx: Transaction) -> Change:
            change, version = work(tx)
            versions[:] = [version]
            return change

        action = await carry_out(self._store, to_do, effect)
        for version in versions:
            await self._invalidate(customer, version)
        return action

    def _locked(self, tx: Transaction, customer: str, unit: str) -> Balance:
        """The balance of a known customer's account, which is locked."""
        _known(tx, customer)
        tx.ledger.lock([(customer, unit)], wait=True)
        return self._balance(tx, customer, unit)

    def _balance(self, tx: Transaction, customer: str, unit: str) -> Balance:
        return accounts.balance(tx, self._rules, customer, unit)

    def _check_override(self, kind: OverrideKind, key: str, value: bool | Amount) -> None:
        catalog = self._rules.catalog
        if kind == "feature":
            catalog.feature(key)
            fits = isinstance(value, bool)
        elif kind == "plan":
            catalog.plan(key)
            fits = value is True
        elif kind == "limit":
            catalog.limit(key)
            fits = not isinstance(value, bool)
            if fits and not isinstance(value, Unlimited):
                check_amount(value, "A limit", minimum=0)
        else:
            raise InvalidInputError(f"An exception is for a {', '.join(_OVERRIDES)}.")
        if not fits:
            raise InvalidInputError(
                "A feature is given or denied, a limit is a number, and a plan is given."
            )


def _known(tx: Transaction, customer: str) -> Customer:
    """A customer who is there: the back office makes nobody by a slip of the pen.

    Raises:
        CustomerNotFoundError: nobody of this id is known, or they were deleted.
    """
    found = tx.customers.get(customer)
    if found is None or found.deleted_at is not None:
        raise CustomerNotFoundError(f"Customer {customer!r} is not known.", customer=customer)
    return found


def _override_of(tx: Transaction, customer: str, kind: str, key: str) -> dict[str, Any] | None:
    state = tx.customers.state(customer)
    found = () if state is None else state.overrides
    for one in found:
        if (one.kind, one.key) == (kind, key):
            return {"value": one.value, "expires_at": one.expires_at}
    return None


def _facts(balance: Balance) -> dict[str, Any]:
    facts = msgspec.structs.asdict(balance)
    return {name: facts[name] for name in ("unit", "available", "held", "debt")}
