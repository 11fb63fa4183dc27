"""`/v1/...`: one request of the API, from its bytes to its answer."""

import base64
import binascii
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gatekeeper.testing.stripe import publishable
from gatekeeper.testing.stripe.core.errors import ApiError, invalid, no_access
from gatekeeper.testing.stripe.core.forms import Raw, parse
from gatekeeper.testing.stripe.core.params import Many, Text
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.faults import suffer
from gatekeeper.testing.stripe.idempotency import Answer, IdempotencyKeys
from gatekeeper.testing.stripe.routing import Api, Operation
from gatekeeper.testing.stripe.settings import API_VERSION
from gatekeeper.testing.stripe.state import State

MAX_BODY_BYTES = 1024 * 1024
_MAJOR = API_VERSION.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer, for those who check them. `operation` is the path's template."""

    method: str
    operation: str
    form: dict[str, Raw]
    status: int
    answer: Obj


@dataclass(frozen=True, slots=True)
class Call:
    """A request that is about to run, for those who delay or refuse it."""

    method: str
    path: str
    form: dict[str, Raw]
    idempotency_key: str | None


class Endpoint:
    """Answers requests of the API.

    `on_exchange` functions see every answer before it leaves; what they raise becomes a 500 and is
    kept in `violations`. `before` functions are awaited while the request counts as in flight, and
    may wait or raise an ApiError.
    """

    def __init__(self, state: State, api: Api) -> None:
        self._state = state
        self._api = api
        self._routes: list[tuple[re.Pattern[str], Operation]] = [
            (operation.pattern(), operation) for operation in api.operations
        ]
        self._keys = IdempotencyKeys()
        self.on_exchange: list[Callable[[Exchange], None]] = []
        self.before: list[Callable[[Call], Awaitable[None]]] = []
        self.violations: list[str] = []

    async def handle(self, request: Request) -> Response:
        """Answer one request."""
        state = self._state
        if state.settings.public_url is None:
            state.base_url = str(request.base_url).rstrip("/")
        fault = state.faults.of_request(request.method, request.url.path)
        if fault is None:
            return await self._handle(request)
        try:
            spoilt = fault.kind == "kept_500"
            return await suffer(fault, request, lambda: self._handle(request, spoilt=spoilt))
        except ApiError as error:
            headers = {"request-id": state.ids.new("req"), "stripe-version": API_VERSION}
            if error.status == 429 and fault.retry_after is not None:
                headers["retry-after"] = str(fault.retry_after)
            return Response(_encode(error.body()), error.status, headers, "application/json")

    async def _handle(self, request: Request, *, spoilt: bool = False) -> Response:
        request_id = self._state.ids.new("req")
        headers = {"request-id": request_id, "stripe-version": API_VERSION}
        try:
            answer, replayed = await self._answer(request, request_id, spoilt=spoilt)
        except ApiError as error:
            answer, replayed = Answer(error.status, _encode(error.body()), request_id), False
        if replayed:
            headers |= {"idempotent-replayed": "true", "original-request": answer.request_id}
        return Response(answer.body, answer.status, headers, "application/json")

    async def _answer(
        self, request: Request, request_id: str, *, spoilt: bool
    ) -> tuple[Answer, bool]:
        public = self._authorize(request)
        encoded = request.url.query
        if request.method == "POST":
            encoded = await _body(request)
        operation, ids = self._find(request.method, request.url.path)
        form = parse(encoded)
        if public:
            publishable.check(operation.method, operation.path, form)
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        named = request.headers.get("stripe-account") or request.headers.get("stripe-context")
        seen = self._seen_by(named)
        slot = key if seen.account is None else f"{seen.account} {key}"
        if key is not None:
            with self._state.lock:
                stored = self._keys.begin(slot or key, request.url.path, encoded, self._state.now())
            if stored is not None:
                return stored, True
        try:
            call = Call(request.method, request.url.path, form, key)
            for intercept in self.before:
                await intercept(call)
            answer = self._run(seen, operation, ids, form, request_id, key, public=public)
        except BaseException as error:
            if public and isinstance(error, ApiError):
                publishable.hide(error)
            if key is not None:
                if isinstance(error, ApiError) and error.saved:
                    stored = Answer(error.status, _encode(error.body()), request_id)
                    self._keys.finish(slot or key, stored)
                else:
                    self._keys.abandon(slot or key)
            raise
        if spoilt:
            gone = ApiError(500, "An error occurred on our end.", type="api_error")
            answer = Answer(gone.status, _encode(gone.body()), request_id)
        if key is not None:
            self._keys.finish(slot or key, answer)
        return answer, False

    def _authorize(self, request: Request) -> bool:
        """Refuse a wrong key; whether it is the publishable one."""
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        key = credentials
        if scheme.lower() == "basic":
            try:
                key = base64.b64decode(credentials).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                key = ""
        if not key:
            raise ApiError(401, "You did not provide an API key.")
        public = key == self._state.settings.publishable_key
        if key != self._state.settings.api_key and not public:
            hidden = f"{key[:8]}{'*' * max(0, len(key) - 12)}{key[-4:]}" if len(key) > 12 else "***"
            raise ApiError(401, f"Invalid API Key provided: {hidden}")
        version = request.headers.get("stripe-version", API_VERSION)
        if version.rpartition(".")[2] != _MAJOR:
            raise invalid(
                f"Invalid Stripe API version: {version}. This simulator speaks {API_VERSION}."
            )
        return public

    def _seen_by(self, account: str | None) -> State:
        if account in (None, self._state.settings.account_id):
            return self._state
        found = self._state.store.find("account", account)
        if found is None or found.get("deleted"):
            raise no_access(account or "")
        return self._state.of(account)

    def _find(self, method: str, path: str) -> tuple[Operation, tuple[str, ...]]:
        for pattern, operation in self._routes:
            if operation.method == method and (match := pattern.fullmatch(path)):
                return operation, match.groups()
        raise ApiError(404, f"Unrecognized request URL ({method}: {path}).")

    def _run(
        self,
        state: State,
        operation: Operation,
        ids: tuple[str, ...],
        form: dict[str, Raw],
        request_id: str,
        key: str | None,
        *,
        public: bool,
    ) -> Answer:
        given = dict(form)
        expand: list[str] = Many(Text(), 20).read(given.pop("expand", ""), "expand")
        params: dict[str, Any] = operation.params.read(given)
        with state.lock:
            state.catch_up()
            with state.asked_by({"id": request_id, "idempotency_key": key}):
                stored = operation(state, params, ids)
            shown = self._api.expander.apply(state, stored, expand)
            body = _encode(publishable.shown(shown) if public else shown)
        exchange = Exchange(operation.method, operation.path, form, 200, shown)
        try:
            for look in self.on_exchange:
                look(exchange)
        except Exception as error:
            self.violations.append(f"{operation.method} {operation.path}: {error}")
            raise ApiError(
                500, f"The simulator broke a promise: {error}", type="api_error"
            ) from error
        return Answer(200, body, request_id)


async def _body(request: Request) -> str:
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > MAX_BODY_BYTES:
            raise ApiError(413, "The request is too large.")
    try:
        return received.decode()
    except UnicodeDecodeError as error:
        raise invalid("The request's body is not UTF-8.") from error


def _encode(answer: Obj) -> bytes:
    return json.dumps(answer, indent=2).encode()
