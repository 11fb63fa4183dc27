"""The client's Idempotency-Key: one key, one request.

The key is remembered with what was asked under it, for 31 days; the same key with another request
is a conflict. What is done under it once is up to each operation, which is handed a key of ours.
(https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header)
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request

from gatekeeper.asgi.billing.operations import Operation
from gatekeeper.errors import IdempotencyConflictError, InvalidIdError
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.request_keys import RequestKey
from gatekeeper.types import check_id

HEADER = "idempotency-key"


@dataclass(frozen=True, slots=True)
class Used:
    """A key in use; `is_fresh`: for the first time."""

    key: RequestKey
    is_fresh: bool


class UsedKeys:
    """The keys that clients have used."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def use(self, operation: Operation, request: Request, who: str, body: Any) -> Used | None:
        """Note the key of a request, if it has one; what is returned has one of ours.

        Raises:
            InvalidIdError: the header can't be a key, or comes twice.
            IdempotencyConflictError: it was used for another request.
        """
        sent = request.headers.getlist(HEADER) if operation.writes else []
        if not sent:
            return None
        if len(sent) > 1:
            raise InvalidIdError("The Idempotency-Key header comes more than once.")
        client_key = check_id(sent[0], "Idempotency-Key")
        scope = (operation.audience, operation.name, who, client_key)
        asked = (request.url.path, request.url.query, body)
        key, body_hash = f"api-{_hash(scope)}", _hash(asked)

        def note(tx: Transaction) -> Used:
            wanted = RequestKey(customer=who, key=key, body_hash=body_hash, created_at=tx.now())
            stored = tx.request_keys.use(wanted)
            return Used(stored, stored is wanted)

        used = await self._store.write(note)
        if used.key.body_hash != body_hash:
            raise IdempotencyConflictError()
        return used

    async def forget(self, used: Used) -> None:
        """The request was refused: its key may be used for another, unless it was used before."""
        if used.is_fresh:
            await self._store.write(lambda tx: tx.request_keys.forget(used.key))


def _hash(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()
