"""One request to one operation, from the first check to the answer."""

import inspect
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatekeeper.asgi.billing.keys import Used, UsedKeys
from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.origins import check_origin
from gatekeeper.asgi.billing.rate_limits import RateLimiter
from gatekeeper.asgi.billing.reading import body_of, path_of, query_of
from gatekeeper.asgi.problem import problem_answer
from gatekeeper.errors import ForbiddenError, GatekeeperError
from gatekeeper.gate import Gatekeeper
from gatekeeper.guards.request import RequestState
from gatekeeper.types import Identity, check_id

_HEADERS: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


Endpoint = Callable[[Request], Awaitable[Response]]


class Answering:
    """Makes endpoints of operations."""

    def __init__(self, gate: Gatekeeper, options: BillingOptions, limiter: RateLimiter) -> None:
        self._gate = gate
        self._options = options
        self._limiter = limiter
        self._keys = UsedKeys(gate.store)

    def endpoint(self, operation: Operation) -> Endpoint:
        """Answers with what the operation returns, or with the problem that it raised."""

        async def answer(request: Request) -> Response:
            try:
                async with AsyncExitStack() as held:
                    call, used = await self._called(operation, request, held)
                    content = await self._carried_out(operation, call, used)
            except GatekeeperError as error:
                return problem_answer(
                    error, upgrade_url=self._gate.upgrade_url, scope=request.scope
                )
            if isinstance(content, Response):
                return content
            if content is None:
                return Response(status_code=204, headers=_HEADERS)
            body = msgspec.json.encode(content)
            return Response(body, operation.status, _HEADERS, "application/json")

        return answer

    async def _called(
        self, operation: Operation, request: Request, held: AsyncExitStack
    ) -> tuple[Call[object, object], Used | None]:
        """The request, checked. The cheap checks come first, and who asks before what."""
        check_origin(operation, request, self._options)
        identity, actor = await self._who(operation, request)
        who = actor if identity is None else identity.customer
        await self._limiter.check(operation, request, who)
        path = path_of(request)
        query = query_of(request, operation)
        body = await body_of(request, operation, held)
        used = None if who is None else await self._keys.use(operation, request, who, body)
        call: Call[object, object] = Call(
            request=request,
            body=body,
            query=query,
            path=path,
            idempotency_key=None if used is None else used.key.key,
            is_repeat=used is not None and not used.is_fresh,
            identity=identity,
            actor=actor,
        )
        return call, used

    async def _carried_out(
        self, operation: Operation, call: Call[object, object], used: Used | None
    ) -> object:
        try:
            return await operation.handler(call)
        except GatekeeperError as error:
            if used is not None and error.status < 500:
                await self._keys.forget(used)
            raise

    async def _who(
        self, operation: Operation, request: Request
    ) -> tuple[Identity | None, str | None]:
        """The customer who asks, or the actor of the back office; nobody where anybody may ask."""
        if operation.audience == "public":
            return None, None
        if operation.audience == "customer":
            return await RequestState(self._gate, request.scope).identity(), None
        authorise = self._options.back_office
        named = None if authorise is None else authorise(request)
        actor = await named if inspect.isawaitable(named) else named
        if not isinstance(actor, str):
            raise ForbiddenError("This is for those who run the app.")
        return None, check_id(actor, "actor")
