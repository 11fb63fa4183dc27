"""Refusals, told of without slowing them: once an hour for each customer and thing lacking.

A customer who is refused a thousand times a second is told of once: where the refusal is, it costs
a look at a dictionary, and nothing is written there. A loop writes what is new every few seconds,
under ids that follow from customer, thing and hour, so that several processes tell of it once. It
is a sample and no account: what a process had not written when it died is lost, and beyond
`MAX_WAITING` new ones between two writes the rest are dropped.
"""

import hashlib
import logging
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import anyio
import msgspec
from cachetools import LRUCache

from gatekeeper.errors import (
    CreditsRequiredError,
    DebtOutstandingError,
    FeatureRequiredError,
    GatekeeperError,
    PlanRequiredError,
)
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import OutboxMessage
from gatekeeper.types import Clock

logger = logging.getLogger("gatekeeper.analytics")

TOPIC: Final = "access.denied"
EVERY: Final = timedelta(hours=1)
WRITE_SECONDS: Final = 5.0
MAX_KNOWN: Final = 50_000
"""How many refusals are remembered as told."""
MAX_WAITING: Final = 1_000
"""How many new ones wait to be written."""


class Denied(NamedTuple):
    """That a customer lacked something, in one hour."""

    customer: str
    needs: str
    name: str
    hour: int


class Denials:
    """The refusals of one process."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: LRUCache[Denied, None] = LRUCache(MAX_KNOWN)
        self._waiting: list[Denied] = []
        self.is_told = False
        """Whether anybody wants to hear of them; if not, nothing is done here."""

    def note(self, customer: str, error: GatekeeperError) -> None:
        """Note a refusal; must be called on the event loop."""
        lacking = what_lacks(error) if self.is_told else None
        if lacking is None:
            return
        denied = Denied(customer, *lacking, int(self._clock().timestamp() // EVERY.total_seconds()))
        if denied in self._known or len(self._waiting) >= MAX_WAITING:
            return
        self._known[denied] = None
        self._waiting.append(denied)

    async def run(self) -> None:
        """Write what is new, for ever. An outage of the database is waited out."""
        while True:
            await anyio.sleep(WRITE_SECONDS)
            try:
                await self.write()
            except Exception:
                logger.exception("refusals were not written; they are tried again")

    async def write(self) -> int:
        """Write what is new; returns how many refusals that were."""
        denied, self._waiting = self._waiting, []
        if not denied:
            return 0

        def work(tx: Transaction) -> None:
            now = tx.now()
            # Nothing is written anew of somebody who was erased since.
            tx.outbox.add(
                message_of(one, now) for one in denied if not tx.audit.is_erased(one.customer)
            )

        try:
            await self._store.write(work)
        except Exception:
            self._waiting = (denied + self._waiting)[:MAX_WAITING]
            raise
        return len(denied)


def what_lacks(error: GatekeeperError) -> tuple[str, str] | None:
    """What somebody lacked whom this error refused: a plan, a feature or a unit, and which."""
    match error:
        case PlanRequiredError():
            return "plan", str(error.params.get("required_plan"))
        case FeatureRequiredError():
            return "feature", str(error.params.get("required_feature"))
        case CreditsRequiredError() | DebtOutstandingError():
            return "credits", str(error.params.get("unit"))
    return None


def message_of(denied: Denied, now: datetime) -> OutboxMessage:
    """The message of a refusal: the same from whichever process, so that it is written once."""
    key = hashlib.sha256(repr(denied).encode()).hexdigest()[:32]
    return OutboxMessage(
        id=f"denied-{key}",
        customer=denied.customer,
        topic=TOPIC,
        body=msgspec.json.encode({"needs": denied.needs, "name": denied.name}).decode(),
        created_at=now,
        due_at=now,
    )
