"""Requests that change something at Stripe: stored before they are sent, so that a crash between
the two, or between the answer and our commit, is made good under the same idempotency key.

Stripe keeps a key for at least 24 hours and answers it with what it answered first, a 500 included
(https://docs.stripe.com/api/idempotent_requests). So a key is *spent* once it is old, or once
Stripe has answered it with a 500: sending it again does it twice, or fails for ever. Then Stripe is
asked whether it was done, by the `look` that the operation has declared. What was not done is sent
under a new key if somebody asks for it again; in the background it is given up, and logged.
"""

import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

import anyio
import msgspec
from msgspec.structs import replace
from uuid_utils.compat import uuid4

from gatekeeper.errors import (
    ConflictError,
    GatekeeperError,
    StripeUnavailableError,
    UnavailableError,
)
from gatekeeper.storage.outgoing import OutgoingRequest, RequestStatus
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.client import Obj, StripeGateway

T = TypeVar("T")
Resumed = Callable[[Transaction, OutgoingRequest, Obj], object]
"""Writes what the answer to a resumed request means, in the transaction that ends the request."""

Look = Callable[[OutgoingRequest], Awaitable[Obj | None]]
"""Asks Stripe what has become of a request: what it made or changed, or None if it was not done.
It raises a `GatekeeperError` if it must not be done any more."""

Refused = Callable[[Transaction, OutgoingRequest, str], object]
"""Writes what it means that a request was not done, and won't be, with why, in the transaction that
notes it."""

KEY_LIFE: Final = timedelta(hours=23)
"""For how long a key is used: Stripe's 24 hours, less one for clocks and slow answers."""

RESUME_AFTER: Final = timedelta(minutes=1)
"""When a request that is still open is taken for one whose process has died."""

_SPENDS_KEY: Final = 500
"""The answer of which Stripe says that it is kept under the key. Other answers of 5xx may have come
from in front of its API."""

_NOT_THIS_REQUESTS: Final = frozenset({401, 403})
"""The refusals of an API key, and of nothing that is asked by it."""

_SWEEP_SECONDS: Final = 15.0
_BATCH: Final = 20

logger: Final = logging.getLogger("gatekeeper.stripe")


@dataclass(frozen=True, slots=True)
class _Remedy:
    """How requests of one kind are made good. See `OutgoingRequests.on_resumed`."""

    write: Resumed | None = None
    look: Look | None = None
    looks_first: bool = False
    refused: Refused | None = None
    is_for_now: bool = False


class OutgoingRequests:
    """Sends them, and sends those again whose end is not known."""

    def __init__(self, gateway: StripeGateway, store: Store) -> None:
        self._gateway = gateway
        self._store = store
        self._remedies: dict[str, _Remedy] = {}

    def on_resumed(
        self,
        operation: str,
        write: Resumed | None,
        *,
        look: Look | None = None,
        looks_first: bool = False,
        refused: Refused | None = None,
        is_for_now: bool = False,
    ) -> None:
        """How to make good a request of this kind whose end is not known.

        Args:
            write: what to do with the answer.
            look: asks Stripe whether it was done, once its key is spent.
            looks_first: look before it is resumed by a fresh key too: for what may have gone out of
                date since it was stored.
            refused: what to do when it is given up, here or in `post`.
            is_for_now: it is never sent again in the background: whoever asked was told that it
                failed, and may have asked for something else since.
        """
        self._remedies[operation] = _Remedy(write, look, looks_first, refused, is_for_now)

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
        request, is_spent = await self._store.write(lambda tx: _opened(tx, key, *fresh))
        try:
            answer = await self._anew(request) if is_spent else await self._send(request)
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

    async def status_of(
        self, idempotency_key: str, account: str | None = None
    ) -> RequestStatus | None:
        """How far has come what was asked under a key; None if nothing was, or long ago."""
        request_id = _id_of(idempotency_key, account)
        found = await self._store.read(lambda tx: tx.requests.get(request_id))
        return None if found is None else found.status

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
            except UnavailableError:  # the database's: what Stripe has answered is asked for again
                raise
            except GatekeeperError as error:
                is_of_key = error.params.get("stripe_status") in _NOT_THIS_REQUESTS
                await self._note(request, error, None if is_of_key else RequestStatus.FAILED)
                _log(logging.ERROR, f"refused when it was sent again ({error})", request)
            except Exception:  # a fault of ours in one must not hold up the others
                logger.exception("a request to Stripe could not be resumed")
        return len(found)

    async def _resume(self, request: OutgoingRequest) -> None:
        remedy = self._remedies.get(request.operation, _Remedy())
        if remedy.is_for_now:
            raise ConflictError("it is not for later")
        is_spent = await self._store.read(lambda tx: tx.now() >= request.key_until)
        found = None
        if remedy.look is not None and (is_spent or remedy.looks_first):
            found = await remedy.look(request)
        if found is None and is_spent:
            lapsed = StripeUnavailableError("The idempotency key's life is over.")
            await self._note(request, lapsed, RequestStatus.FAILED)
            _log(
                logging.ERROR, "never heard of within the life of its key; look at Stripe", request
            )
            return
        answer = await self._send(request) if found is None else found

        def end(tx: Transaction) -> None:
            if remedy.write is not None:
                remedy.write(tx, request, answer)
            _done(tx, request, answer)

        await self._store.write(end)
        _log(logging.WARNING, "left open by an outage or a crash, and has now been done", request)

    async def _anew(self, request: OutgoingRequest) -> Obj:
        """What Stripe has done by a request whose key is spent, or does now, under a new key."""
        look = self._remedies.get(request.operation, _Remedy()).look
        found = None if look is None else await look(request)
        if found is not None:
            return found
        return await self._send(await self._store.write(lambda tx: _with_new_key(tx, request)))

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
        remedy = self._remedies.get(request.operation, _Remedy())
        spends = remedy.look is not None and error.params.get("stripe_status") == _SPENDS_KEY

        def note(tx: Transaction) -> None:
            stored = tx.requests.get(request.id, lock=True)
            if stored is None or stored.status is not RequestStatus.OPEN:
                return  # another caller, under the same key, has heard of it
            tried = replace(stored, attempts=stored.attempts + 1, last_error=str(error))
            if spends:
                tried = replace(tried, key_until=min(tried.key_until, tx.now()))
            if status is not None:
                tried = replace(tried, status=status, ended_at=tx.now())
                if status is RequestStatus.FAILED and remedy.refused is not None:
                    remedy.refused(tx, tried, str(error))
            tx.requests.save(tried)

        await self._store.write(note)


def _id_of(key: str, account: str | None) -> str:
    return f"req_{hashlib.sha256(repr((account, key)).encode()).hexdigest()[:32]}"


def _opened(
    tx: Transaction,
    key: str,
    operation: str,
    path: str,
    params: str,
    customer: str | None,
    account: str | None,
) -> tuple[OutgoingRequest, bool]:
    """The request's row, open: made, or opened again for whoever asks under the same key; and
    whether that key is spent."""
    now = tx.now()
    request = OutgoingRequest(
        id=_id_of(key, account),
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
        key_until=now + KEY_LIFE,
    )
    if tx.requests.insert(request):
        return request, False
    stored = tx.requests.get(request.id, lock=True)
    assert stored is not None
    request = replace(
        request,
        idempotency_key=stored.idempotency_key,
        created_at=stored.created_at,
        attempts=stored.attempts,
        key_until=stored.key_until,
    )
    tx.requests.save(request)
    return request, now >= stored.key_until


def _with_new_key(tx: Transaction, request: OutgoingRequest) -> OutgoingRequest:
    """The request under a key that was never sent; under somebody else's, who was here first."""
    stored = tx.requests.get(request.id, lock=True)
    if stored is None or stored.status is not RequestStatus.OPEN:
        raise ConflictError("The request has ended, or its customer is gone.")
    if stored.key_until > tx.now():
        return stored
    key = f"gatekeeper-{uuid4()}"
    renewed = replace(stored, idempotency_key=key, key_until=tx.now() + KEY_LIFE)
    tx.requests.save(renewed)
    return renewed


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
    logger.log(
        level,
        "request %s to Stripe (%s, of customer %s) was %s",
        request.id,
        request.operation,
        request.customer,
        what,
    )
