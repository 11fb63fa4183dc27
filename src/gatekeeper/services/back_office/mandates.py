"""Who changes something in the back office, and why: no change without a record of it.

The record is written in the transaction of the change, so that there is never one without the
other. What is asked for under an idempotency key is done once: the record is found by the key.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from uuid_utils.compat import uuid7

from gatekeeper.errors import (
    GatekeeperError,
    IdempotencyConflictError,
    InvalidInputError,
    StoreUnavailableError,
    UnavailableError,
)
from gatekeeper.ledger import fingerprint
from gatekeeper.services.customers import check_text
from gatekeeper.services.once import may_be_committed
from gatekeeper.storage.actions import Action
from gatekeeper.storage.joined import refuse_joined
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.types import check_id

_DIGITS: Final = 32


class Mandate(msgspec.Struct, frozen=True, kw_only=True):
    """Who changes something, and why.

    Attributes:
        actor: the person, by the host's own id.
        reason: in their words; it stays in the record. Name nobody in it who may have to be erased.
        idempotency_key: makes it safe to ask again: it is done once.

    Raises:
        InvalidInputError: there is no reason, or it can't be stored.
        InvalidIdError: the actor or the key is no id.
    """

    actor: str
    reason: str
    idempotency_key: str | None = None

    def __post_init__(self) -> None:
        check_id(self.actor, "actor")
        check_text(self.reason, "reason")
        if not self.reason.strip():
            raise InvalidInputError("Say why: a change in the back office needs a reason.")
        if self.idempotency_key is not None:
            check_id(self.idempotency_key, "idempotency key")

    def name_of(self, kind: str) -> str:
        """What everything that is written by this mandate is called by: the same under one key."""
        if self.idempotency_key is None:
            return uuid7().hex
        scope = repr((kind, self.actor, self.idempotency_key)).encode()
        return hashlib.sha256(scope).hexdigest()[:_DIGITS]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What an action has changed: some facts as they were and as they are, for people to read."""

    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    subject: str | None = None
    customer: str | None = None


class AskedAtOnceError(IdempotencyConflictError):
    """This idempotency key was used before, for another request."""


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is to be done once, under `name`.

    Attributes:
        kind: what is done: "credits.grant".
        asked: all that was asked for, by which a repetition is known from another request.
    """

    name: str
    mandate: Mandate
    kind: str
    customer: str | None = None
    asked: Mapping[str, Any] = {}

    @property
    def action_id(self) -> str:
        """The id of the record."""
        return f"act_{self.name}"

    def _fingerprint(self) -> str:
        mandate = self.mandate
        return fingerprint(
            self.kind,
            actor=mandate.actor,
            reason=mandate.reason,
            customer=self.customer,
            asked=self.asked,
        )

    def done(self, tx: Transaction) -> Action | None:
        """The record, if this was done before.

        Raises:
            IdempotencyConflictError: something else was done under the same key.
        """
        found = tx.actions.get(self.action_id)
        # One that was erased since has forgotten what was asked.
        if found is not None and found.fingerprint not in ("", self._fingerprint()):
            raise IdempotencyConflictError()
        return found

    def record(self, tx: Transaction, change: Change) -> Action:
        """Write the record of what was done just now, in its transaction."""
        action = self._action(tx, change)
        if not tx.actions.add(action):  # somebody has done it meanwhile: nothing of this is kept
            raise AskedAtOnceError("The same was asked for at once; ask again.")
        return action

    def record_refusal(self, tx: Transaction, error: GatekeeperError) -> None:
        """Write beside the record of what was to be done that it was refused, by which error; the
        first time only."""
        meant = tx.actions.get(self.action_id)
        change = Change(after={"refused": error.code})
        refusal = msgspec.structs.replace(
            self._action(tx, change),
            id=f"{self.action_id}_refused",
            kind=f"{self.kind}.refused",
            subject=None if meant is None else meant.subject,
        )
        tx.actions.add(refusal)

    def _action(self, tx: Transaction, change: Change) -> Action:
        return Action(
            id=self.action_id,
            at=tx.now(),
            actor=self.mandate.actor,
            kind=self.kind,
            customer=change.customer or self.customer,
            subject=change.subject,
            reason=self.mandate.reason,
            before=_packed(change.before),
            after=_packed(change.after),
            fingerprint=self._fingerprint(),
        )

    def once(self, effect: Callable[[Transaction], Change]) -> Callable[[Transaction], Action]:
        """What does it and writes the record, or finds the record of the first time."""

        def work(tx: Transaction) -> Action:
            found = self.done(tx)
            return self.record(tx, effect(tx)) if found is None else found

        return work


def act(mandate: Mandate, kind: str, *, customer: str | None = None, **asked: Any) -> Act:
    """Something to be done by a mandate.

    Raises:
        InvalidIdError: the customer's id can't be one.
    """
    if customer is not None:
        check_id(customer, "customer")
    return Act(
        name=mandate.name_of(kind), mandate=mandate, kind=kind, customer=customer, asked=asked
    )


async def carry_out(store: Store, to_do: Act, effect: Callable[[Transaction], Change]) -> Action:
    """Do it once, in a transaction of its own, with its record. Where the answer of the COMMIT was
    lost, it is looked up.

    Raises:
        IdempotencyConflictError, and what `effect` raises: nothing changes.
    """
    if to_do.customer is not None:
        refuse_joined(store, to_do.customer)
    work = to_do.once(effect)
    try:
        return await store.write(work)
    except StoreUnavailableError as error:
        if not may_be_committed(error):
            raise
    except AskedAtOnceError:
        """Somebody was faster, under the same key: what they did is found now."""
    return await store.write(work)


@asynccontextmanager
async def recording_refusal(store: Store, to_do: Act) -> AsyncIterator[None]:
    """Around what somebody else has to do, Stripe say, and was recorded before it was asked for:
    should it be refused, that is recorded too. What is unavailable has refused nothing: it may
    have been done."""
    try:
        yield
    except UnavailableError:
        raise
    except GatekeeperError as error:
        refusal = error  # the name of an except clause is gone after it
        await store.write(lambda tx: to_do.record_refusal(tx, refusal))
        raise


def _packed(facts: Mapping[str, Any] | None) -> str | None:
    return None if facts is None else msgspec.json.encode(facts).decode()
