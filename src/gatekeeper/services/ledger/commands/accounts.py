"""Commands on an account: grants, revocations and clawbacks, caps."""

from collections.abc import Iterable

import msgspec

from gatekeeper.errors import DuplicateGrantError, UnknownNameError
from gatekeeper.ledger import (
    AccountCommand,
    Change,
    Entry,
    Grant,
    GrantCredits,
    SetCap,
    check_scope,
    fingerprint,
    paths_of,
)
from gatekeeper.periods import CALENDAR, EVERY_ORDER, window_at
from gatekeeper.services.ledger.commands.base import Holds
from gatekeeper.services.ledger.commands.keyed import KeyedCommand
from gatekeeper.services.ledger.desk import Desk
from gatekeeper.services.ledger.room import Room
from gatekeeper.services.rules import Rules
from gatekeeper.storage.postings import AccountKey
from gatekeeper.types import Every, check_amount, check_id

_Entries = tuple[Entry, ...]


class GrantCommand(KeyedCommand[Grant]):
    """Add a grant. One with a `source_key` that has been granted before is returned as it is.

    Raises:
        DuplicateGrantError: that purchase has granted something else.
        IdempotencyConflictError: the key was used for another request.
        UnknownNameError, InvalidAmountError, CustomerNotFoundError.
    """

    def __init__(
        self,
        rules: Rules,
        key: AccountKey,
        command: GrantCredits,
        idempotency_key: str | None = None,
    ) -> None:
        rules.catalog.unit(key[1])
        check_id(key[0], "customer")
        check_amount(command.amount, "The amount of a grant")
        super().__init__(key, idempotency_key)
        self._command = command

    def act(self, room: Room, desk: Desk) -> Grant:
        command = self._command
        if command.source_key is not None:
            given = room.tx.ledger.grant_by_source(command.source_key)
            given = given or _given_here(desk, command.source_key)
            if given is not None:
                return self._same(given)
        desk.check_living()
        return desk.apply(command).grants[0]

    def packed(self, result: Grant) -> str:
        return msgspec.json.encode(result).decode()

    def unpacked(self, answer: str, desk: Desk) -> Grant:
        return msgspec.json.decode(answer, type=Grant)

    def _same(self, given: Grant) -> Grant:
        command = self._command
        if (given.customer, given.unit, given.amount) != (*self.key, command.amount):
            raise DuplicateGrantError(
                f"{command.source_key!r} has already granted {given.amount} {given.unit} "
                f"to {given.customer!r}.",
                source=command.source_key,
            )
        return given

    def fingerprint(self) -> str:
        """What makes two requests the same request: all but the grant's id, which is ours."""
        command = self._command
        return fingerprint(
            "grant",
            unit=self.key[1],
            amount=command.amount,
            kind=command.kind,
            reason=command.reason,
            priority=command.priority,
            expires_at=command.expires_at,
            actor=command.actor,
            **({} if command.effective_at is None else {"effective_at": command.effective_at}),
            **({} if command.metadata is None else {"metadata": command.metadata}),
        )


class AccountChange(KeyedCommand[Change]):
    """Carry out an engine's command on an account: a clawback, a revocation.

    Repeated under its idempotency key, it returns the entries of the first time.

    Raises:
        InvalidIdError, IdempotencyConflictError, and what the engine raises; nothing changes.
    """

    def __init__(
        self, key: AccountKey, command: AccountCommand, idempotency_key: str | None = None
    ) -> None:
        super().__init__(key, idempotency_key)
        self._command = command

    def act(self, room: Room, desk: Desk) -> Change:
        if not desk.account.version:
            desk.check_living()  # nobody has an account of somebody who is no customer
        return desk.apply(self._command)

    def fingerprint(self) -> str:
        return fingerprint(type(self._command).__name__, unit=self.key[1], command=self._command)

    def packed(self, result: Change) -> str:
        return msgspec.json.encode(result.entries).decode()

    def unpacked(self, answer: str, desk: Desk) -> Change:
        return Change(desk.account, msgspec.json.decode(answer, type=_Entries))


class CapCommand(KeyedCommand[None]):
    """Set the host's cap of a part of an account; what the running window has used counts.

    Raises:
        InvalidIdError, UnknownNameError, InvalidAmountError: nothing changes.
        IdempotencyConflictError: the key was used for another request.
    """

    def __init__(
        self,
        key: AccountKey,
        every: Every,
        limit: int | None,
        *,
        scope: str = "",
        actor: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        super().__init__(key, idempotency_key)
        self._scope = check_scope(scope)
        if every not in EVERY_ORDER:
            raise UnknownNameError("length of a window", str(every), EVERY_ORDER)
        if limit is not None:
            check_amount(limit, "The limit of a cap", minimum=0)
        self._every: Every = every
        self._limit = limit
        self._actor = actor

    def scopes(self, holds: Holds) -> Iterable[str]:
        return paths_of(self._scope)

    def act(self, room: Room, desk: Desk) -> None:
        desk.check_living()
        room.flush(desk)  # what earlier commands of the batch have used counts, too
        since = window_at(CALENDAR, self._every, desk.now).start
        used = room.tx.ledger.used(*self.key, self._scope, since)
        desk.apply(
            SetCap(
                every=self._every,
                limit=self._limit,
                scope=self._scope,
                used=used,
                actor=self._actor,
            )
        )

    def packed(self, result: None) -> str:
        return ""

    def unpacked(self, answer: str, desk: Desk) -> None:
        return None

    def fingerprint(self) -> str:
        return fingerprint(
            "set_cap",
            unit=self.key[1],
            every=self._every,
            limit=self._limit,
            scope=self._scope,
            actor=self._actor,
        )


def _given_here(desk: Desk, source_key: str) -> Grant | None:
    """A grant that an earlier command of the same batch has given."""
    return next((one for one in desk.posting.grants if one.source_key == source_key), None)
