"""`GET openapi.json`: the document as an operation among those that it describes."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatekeeper.asgi.billing.openapi.document import document
from gatekeeper.asgi.billing.operations import Call, Operation


def described(operations: Sequence[Operation]) -> list[Operation]:
    """The operations, and the one that answers their description."""
    page = _Page()
    own = Operation(
        "GET",
        "/openapi.json",
        page.answer,
        summary="This document: OpenAPI 3.1 of all operations.",
        answer=dict[str, Any],
        audience="public",
    )
    page.operations = [*operations, own]
    return page.operations


class _Page:
    """Answers the document. It is made when it is first asked for."""

    operations: Sequence[Operation] = ()

    @cached_property
    def _document(self) -> dict[str, Any]:
        return document(self.operations)

    async def answer(self, call: Call) -> Response:
        """The document, with the address at which the routes are mounted."""
        whole = {**self._document, "servers": [{"url": _mounted_at(call.request)}]}
        return Response(msgspec.json.encode(whole), media_type="application/json")


def _mounted_at(request: Request) -> str:
    return str(request.scope.get("root_path", "")) or "/"
