"""Commands whose answer may be lost: carried out, and looked up where it is not known whether they
were.

A write whose answer was lost may have succeeded. Commands carry their ids, so that it can be looked
up; what is not there is sent again.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from cachetools import LRUCache

from gatekeeper.errors import (
    ConflictError,
    HoldEndedError,
    HoldNotFoundError,
    StoreUnavailableError,
)
from gatekeeper.ledger import Hold, HoldStatus
from gatekeeper.services import accounts
from gatekeeper.services.accounts import ReserveRequest
from gatekeeper.services.ledger.batch import carry_out
from gatekeeper.services.ledger.batcher import Batcher
from gatekeeper.services.ledger.commands import Command, ReserveCommand
from gatekeeper.services.once import may_be_committed
from gatekeeper.services.rules import Rules
from gatekeeper.storage.joined import refuse_joined
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.postings import AccountKey
from gatekeeper.types import check_id

T = TypeVar("T")

MAX_KNOWN_HOLDS: Final = 50_000
"""Of how many holds the account is remembered; others are looked up."""


class CreditWrites:
    """Carries out the commands of one gate, and knows which account a hold is of."""

    def __init__(self, store: Store, rules: Rules, batcher: Batcher) -> None:
        self._store = store
        self._rules = rules
        self._batcher = batcher
        self._keys: LRUCache[tuple[str | None, str], AccountKey] = LRUCache(MAX_KNOWN_HOLDS)

    async def run(self, command: Command[T], session: object) -> T:
        """Carry out a command, in the host's open transaction or in the next batch."""
        if session is not None:
            async with self._store.join(session) as joined:
                return await joined.run(lambda tx: carry_out(tx, self._rules, command))
        refuse_joined(self._store, command.key[0])
        return await self._batcher.run(command)

    async def reserve(
        self, command: ReserveCommand, request: ReserveRequest, session: object
    ) -> Hold:
        """Make a hold, and remember whose it is."""
        try:
            hold = await self.run(command, session)
        except StoreUnavailableError as error:
            if session is not None or not may_be_committed(error):
                raise
            hold = await self._made(command, request)
        if request.has_new_id:  # nobody else has a hold of this id: it says whose it is
            self._keys[None, hold.id] = command.key
        self._keys[request.customer, hold.id] = command.key
        return hold

    async def settle(
        self,
        make: Callable[[AccountKey], Command[Hold]],
        hold_id: str,
        wanted: HoldStatus | None,
        customer: str | None,
        session: object,
    ) -> Hold:
        """Do something to a hold, which then is `wanted` (None: nothing tells whether it was)."""
        if session is not None:
            async with self._store.join(session) as joined:
                return await joined.run(
                    lambda tx: carry_out(
                        tx, self._rules, make(accounts.key_of(tx, hold_id, customer))
                    )
                )
        key = await self._key(hold_id, customer)
        command = make(key)
        try:
            return await self.run(command, None)
        except StoreUnavailableError as error:
            if not may_be_committed(error) or (wanted is None and not command.receipt_keys):
                raise
        found = None if command.receipt_keys else await self._find(hold_id, key[0])
        if found is not None and found.status is wanted:
            return found
        try:
            return await self.run(command, None)
        except HoldEndedError as error:  # the first COMMIT came through after we had looked
            found = await self._find(hold_id, key[0])
            if found is None or error.params.get("ended") != str(wanted):
                raise
            return found

    async def capture_all(self, holds: Sequence[Hold]) -> Sequence[Hold]:
        """See `accounts.capture_all`."""

        def work(tx: Transaction) -> Sequence[Hold]:
            return accounts.capture_all(tx, self._rules, holds)

        for hold in holds:
            refuse_joined(self._store, hold.customer)
        try:
            return await self._store.write(work)
        except StoreUnavailableError as error:
            if not may_be_committed(error):
                raise
        ended = await self._captured(holds)
        if ended is not None:
            return ended
        try:
            return await self._store.write(work)
        except HoldEndedError:  # the first COMMIT came through after we had looked
            ended = await self._captured(holds)
            if ended is None:
                raise
            return ended

    async def hold(self, hold_id: str, customer: str | None) -> Hold:
        """A hold as it is now.

        Raises:
            HoldNotFoundError: it is not known.
        """
        found = await self._find(hold_id, customer)
        if found is None:
            raise HoldNotFoundError(f"Hold {hold_id!r} is not known.", hold=hold_id)
        return found

    async def _made(self, command: ReserveCommand, request: ReserveRequest) -> Hold:
        """The hold of a reserve whose answer was lost: as it was made, or made now."""
        made = await self._find(request.hold_id, request.customer)
        if made is not None:
            return made
        try:
            return await self.run(command, None)
        except ConflictError:  # the first COMMIT came through after we had looked
            made = await self._find(request.hold_id, request.customer)
            if made is None:
                raise
            return made

    async def _key(self, hold_id: str, customer: str | None) -> AccountKey:
        """The account of a hold: as remembered, or looked up."""
        known: AccountKey | None = self._keys.get((customer, check_id(hold_id, "hold")))
        if known is not None:
            return known
        found = await self.hold(hold_id, customer)
        self._keys[found.customer, hold_id] = key = (found.customer, found.unit)
        return key

    async def _captured(self, holds: Sequence[Hold]) -> Sequence[Hold] | None:
        """The holds as they are, if all of them have been captured."""
        found = [await self._find(hold.id, hold.customer) for hold in holds]
        ended = [hold for hold in found if hold and hold.status is HoldStatus.CAPTURED]
        return ended if len(ended) == len(holds) else None

    async def _find(self, hold_id: str, customer: str | None) -> Hold | None:
        return await self._store.read(lambda tx: tx.ledger.find_hold(hold_id, customer=customer))
