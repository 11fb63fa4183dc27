"""Intake: verify, store, answer. The answer is given only after the row is committed.

From signature to commit nothing is looked up at Stripe and nothing is decided, so that a burst is
stored as fast as the database writes (https://docs.stripe.com/webhooks#best-practices).
"""

import logging
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from gatekeeper.errors import PayloadTooLargeError
from gatekeeper.storage.port import Store
from gatekeeper.storage.records import EventStatus, InboxEvent
from gatekeeper.stripe.signature import DEFAULT_TOLERANCE_SECONDS, verify
from gatekeeper.stripe.webhooks.commits import GroupCommit, IntakeLimits
from gatekeeper.stripe.webhooks.envelope import MAX_BODY_BYTES, Envelope, parse
from gatekeeper.stripe.webhooks.projecting import object_key
from gatekeeper.stripe.webhooks.telling import Taking, Teller
from gatekeeper.types import Clock, utc_now

logger = logging.getLogger("gatekeeper.webhooks")

_CLIENT_SECRET: Final = re.compile(rb'("client_secret"\s*:\s*)"[^"\\]*"')
"""With it a browser pays: nothing here needs it, and it is stored nowhere
(https://docs.stripe.com/api/payment_intents/object#payment_intent_object-client_secret)."""


class Intake:
    """Takes events in for one endpoint.

    `livemode` is the mode of our key; None accepts both. An event of the other mode is stored and
    has no effect: test data at a live endpoint must not open doors.
    """

    def __init__(
        self,
        store: Store,
        secrets: Sequence[str],
        *,
        livemode: bool | None = None,
        tolerance_seconds: int = DEFAULT_TOLERANCE_SECONDS,
        max_body_bytes: int = MAX_BODY_BYTES,
        clock: Clock = utc_now,
        stored: Callable[[], None] = lambda: None,
        limits: IntakeLimits | None = None,
        teller: Teller | None = None,
    ) -> None:
        self._teller = teller or Teller()
        self._store = store
        self._commits = GroupCommit(store, limits)
        self._secrets = tuple(secrets)
        self._livemode = livemode
        self._tolerance_seconds = tolerance_seconds
        self.max_body_bytes = max_body_bytes
        self._clock = clock
        self._stored = stored
        self._own: str | None = None  # our account, once an event has named one

    async def receive(self, body: bytes, signature: bytes | str | None) -> bool:
        """Store an event; True if it is new, False if it was there. Either is answered with 2xx.

        Raises:
            SignatureError, PayloadError, PayloadTooLargeError: nothing is stored; 4xx.
            OverloadedError: too many wait to be stored; 503, and Stripe sends it again.
            StoreUnavailableError: the database can't be reached, or not in time; 503 likewise.
        """
        with self._teller.taking() as taking:
            if len(body) > self.max_body_bytes:
                raise PayloadTooLargeError(f"The body is larger than {self.max_body_bytes} bytes.")
            verify(
                body,
                signature,
                self._secrets,
                self._clock(),
                tolerance_seconds=self._tolerance_seconds,
            )
            return await self._take_in(body, taking)

    async def replay(self, body: bytes) -> bool:
        """Store an event whose origin is certain: it was fetched from Stripe, or its signature has
        been verified. True if it is new.

        Raises:
            PayloadError, StoreUnavailableError: nothing is stored.
        """
        return await self._take_in(body, None)

    async def _take_in(self, body: bytes, taking: Taking | None) -> bool:
        envelope = parse(body)
        foreign = self._livemode is not None and envelope.livemode != self._livemode
        account = await self._account(envelope)
        if foreign:
            _note_other_mode(envelope, account)

        def make(now: datetime) -> InboxEvent:
            return _row(envelope, body, now, account=account, ignored=foreign)

        if taking is not None:
            taking.is_of(envelope)
        new = await self._commits.insert(make, len(body))
        if taking is not None:
            taking.ended("other_mode" if foreign else "accepted" if new else "duplicate")
        if not foreign:  # one that was there may have been brought back from the dead
            self._stored()
        return new

    async def _account(self, envelope: Envelope) -> str | None:
        """The connected account whose object an event is about; None for our own, which an
        organisation's endpoint names too."""
        owner = envelope.owner
        if owner is None:
            return None
        if self._own is None:
            stamp = await self._store.read(lambda tx: tx.stamp())
            self._own = None if stamp is None else stamp.account
        return None if owner == self._own else owner


def _note_other_mode(envelope: Envelope, account: str | None) -> None:
    """Test events of connected accounts come to a live endpoint by design
    (https://docs.stripe.com/connect/webhooks); all else of the other mode is somebody's mistake."""
    if account is not None and not envelope.livemode:
        logger.info(
            "event %s (%s) is a test of connected account %s: stored without effect",
            envelope.id,
            envelope.type,
            account,
        )
        return
    logger.error(
        "event %s (%s) is of the other mode (livemode=%s): stored without effect; check "
        "the endpoint's signing secret",
        envelope.id,
        envelope.type,
        envelope.livemode,
    )


def _row(
    envelope: Envelope, body: bytes, now: datetime, *, account: str | None, ignored: bool
) -> InboxEvent:
    if envelope.object_type is None or envelope.object_id is None:
        about = ("event", envelope.id)  # about nothing in particular: ordered with itself alone
    else:
        about = (envelope.object_type, envelope.object_id)
    return InboxEvent(
        key=f"{account or ''}/{envelope.id}",
        event_id=envelope.id,
        type=envelope.type,
        account=account,
        livemode=envelope.livemode,
        api_version=envelope.api_version,
        object_type=envelope.object_type,
        object_id=envelope.object_id,
        object_key=object_key(*about, livemode=envelope.livemode, account=account),
        created_at=envelope.created,
        received_at=now,
        payload=_kept(body),
        status=EventStatus.IGNORED if ignored else EventStatus.PENDING,
        due_at=now,
        twin=None if envelope.snapshot_id is None else f"{account or ''}/{envelope.snapshot_id}",
    )


def _kept(body: bytes) -> bytes:
    """What is stored of a delivery: all of it but client secrets."""
    return _CLIENT_SECRET.sub(rb"\1null", body) if b'"client_secret"' in body else body
