"""Requests that change something at Stripe: stored before they are sent, so that a crash between
the two, or between the answer and our commit, is made good under the same idempotency key.

Stripe keeps a key for at least 24 hours (https://docs.stripe.com/api/idempotent_requests): what is
found open within that time is sent again and its answer is Stripe's first one. After it, sending it
again could do it twice, so it is given up, and logged for a person to look at.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeVar

import anyio
import msgspec
from msgspec.structs import replace
from uuid_utils.compat import uuid4

from gatekeeper.errors import GatekeeperError, StripeUnavailableError
from gatekeeper.storage.outgoing import OutgoingRequest, RequestStatus
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.client import Obj, StripeGateway

T = TypeVar("T")
Resumed = Callable[[Transaction, OutgoingRequest, Obj], object]
"""Writes what the answer to a resumed request means, in the transaction that ends the request."""

KEY_LIFE: Final = timedelta(hours=23)
"""For how long a key is used: Stripe's 24 hours, less one for clocks and slow answers."""

RESUME_AFTER: Final = timedelta(minutes=1)
"""When a request that is still open is taken for one whose process has died."""

_SWEEP_SECONDS: Final = 15.0
_BATCH: Final = 20

logger: Final = logging.getLogger("gatekeeper.stripe")


class OutgoingRequests:
    """Sends them, and sends those again whose end is not known."""

    def __init__(self, gateway: StripeGateway, store: Store) -> None:
        self._gateway = gateway
        self._store = store
        self._resumed: dict[str, Resumed] = {}

    def on_resumed(self, operation: str, write: Resumed) -> None:
        """What to do with the answer to a request of this kind that had to be sent again."""
        self._resumed[operation] = write

    async def post(
        self,
        operation: str,
        path: str,
        params: Mapping[str, Any],
        *,
        customer: str | None = None,
        idempotency_key: str | None = None,
        account: str | None = None,
        settle: Callable[[Transaction, Obj], T],
        keeps_trying: bool = True,
    ) -> T:
        """Store a request, send it, and write what its answer means by `settle`, in the transaction
        that notes its end.

        Args:
            operation: what it does, as a noun: "customers create". Errors and `on_resumed` name it.
            params: the body; no secrets, since it is stored.
            idempotency_key: None makes one.
            settle: must do no harm when it is called again with the same answer.
            keeps_trying: after an outage, in the background; False if the caller gives it up. A
                crash leaves it to the background either way.

        Raises:
            StripeUnavailableError, StripeRequestError, IdempotencyConflictError.
        """
        key = idempotency_key or f"gatekeeper-{uuid4()}"
        fresh = (operation, path, msgspec.json.encode(params).decode(), customer, account)
        request = await self._store.write(lambda tx: _opened(tx, key, *fresh))
        try:
            answer = await self._send(request)
        except StripeUnavailableError as error:
            given_up = None if keeps_trying else RequestStatus.FAILED
            await self._note(request, error, given_up)
            raise
        except GatekeeperError as error:
            await self._note(request, error, RequestStatus.FAILED)
            raise

        def end(tx: Transaction) -> T:
            settled = settle(tx, answer)
            _done(tx, request, answer)
            return settled

        return await self._store.write(end)

    async def run(self) -> None:
        """Resume for ever. An outage of the database or of Stripe is waited out."""
        while True:
            try:
                while await self.resume() == _BATCH:
                    pass
            except Exception:
                logger.exception("requests to Stripe could not be resumed; it is tried again")
            await anyio.sleep(_SWEEP_SECONDS)

    async def resume(self) -> int:
        """Send again what was left open more than a minute ago; returns how many were found.

        Two processes never take the same request at once; should they, the key makes it one.
        """
        found = await self._store.write(
            lambda tx: tx.requests.claim(tx.now(), tx.now() + 5 * RESUME_AFTER, _BATCH)
        )
        for request in found:
            try:
                await self._resume(request)
            except StripeUnavailableError as error:
                await self._note(request, error, None)
            except GatekeeperError as error:
                await self._note(request, error, RequestStatus.FAILED)
                _log(logging.ERROR, "refused when it was sent again", request)
        return len(found)

    async def _resume(self, request: OutgoingRequest) -> None:
        now = await self._store.read(lambda tx: tx.now())
        if now - request.created_at > KEY_LIFE:
            lapsed = StripeUnavailableError("The idempotency key's life is over.")
            await self._note(request, lapsed, RequestStatus.FAILED)
            _log(
                logging.ERROR, "never heard of within the life of its key; look at Stripe", request
            )
            return
        answer = await self._send(request)
        settle = self._resumed.get(request.operation)

        def end(tx: Transaction) -> None:
            if settle is not None:
                settle(tx, request, answer)
            _done(tx, request, answer)

        await self._store.write(end)
        _log(logging.WARNING, "left open by an outage or a crash, and has now been done", request)

    async def _send(self, request: OutgoingRequest) -> Obj:
        return await self._gateway.post(
            request.path,
            msgspec.json.decode(request.params),
            what=request.operation,
            idempotency_key=request.idempotency_key,
            account=request.account,
        )

    async def _note(
        self, request: OutgoingRequest, error: GatekeeperError, status: RequestStatus | None
    ) -> None:
        """Note a failure; `status` None leaves the request open."""

        def note(tx: Transaction) -> None:
            stored = tx.requests.get(request.id, lock=True)
            if stored is None or stored.status is not RequestStatus.OPEN:
                return  # another caller, under the same key, has heard of it
            tried = replace(stored, attempts=stored.attempts + 1, last_error=str(error))
            if status is not None:
                tried = replace(tried, status=status, ended_at=tx.now())
            tx.requests.save(tried)

        await self._store.write(note)


def _opened(
    tx: Transaction,
    key: str,
    operation: str,
    path: str,
    params: str,
    customer: str | None,
    account: str | None,
) -> OutgoingRequest:
    """The request's row, open: made, or opened again for whoever asks under the same key."""
    now = tx.now()
    request = OutgoingRequest(
        id=f"req_{hashlib.sha256(repr((account, key)).encode()).hexdigest()[:32]}",
        operation=operation,
        path=path,
        idempotency_key=key,
        customer=customer,
        account=account,
        params=params,
        status=RequestStatus.OPEN,
        attempts=0,
        created_at=now,
        due_at=now + RESUME_AFTER,
    )
    if tx.requests.insert(request):
        return request
    stored = tx.requests.get(request.id, lock=True)
    assert stored is not None
    if now - stored.created_at <= KEY_LIFE:  # the key is still of its first use
        request = replace(request, created_at=stored.created_at, attempts=stored.attempts)
    tx.requests.save(request)
    return request


def _done(tx: Transaction, request: OutgoingRequest, answer: Obj) -> None:
    stored = tx.requests.get(request.id, lock=True)
    if stored is None:
        return  # its customer was erased meanwhile
    tx.requests.save(
        replace(
            stored,
            status=RequestStatus.DONE,
            attempts=stored.attempts + 1,
            ended_at=tx.now(),
            answer_id=answer.get("id"),
            last_error=None,
        )
    )


def _log(level: int, what: str, request: OutgoingRequest) -> None:
    extra = {
        "request_id": request.id,
        "operation": request.operation,
        "customer": request.customer,
    }
    logger.log(level, "a request to Stripe (%s) was %s", request.operation, what, extra=extra)
