"""`GET openapi.json` and `GET docs`: the document, as operations among those it describes."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatekeeper.asgi.billing.openapi.document import document
from gatekeeper.asgi.billing.openapi.page import page
from gatekeeper.asgi.billing.operations import Call, Operation


def described(operations: Sequence[Operation]) -> list[Operation]:
    """The operations, and those that answer their description."""
    answers = _Document()
    answers.operations = [
        *operations,
        Operation(
            "GET",
            "/openapi.json",
            answers.as_json,
            summary="This document: OpenAPI 3.1 of all operations.",
            answer=dict[str, Any],
            audience="public",
        ),
        Operation(
            "GET",
            "/docs",
            answers.as_page,
            summary="The same as a page for people.",
            media_types=("text/html",),
            audience="public",
        ),
    ]
    return answers.operations


class _Document:
    """Answers the document. It is made when it is first asked for."""

    operations: list[Operation]

    @cached_property
    def _document(self) -> dict[str, Any]:
        return document(self.operations)

    async def as_page(self, call: Call) -> Response:
        """The document for people."""
        return page(self._document)

    async def as_json(self, call: Call) -> Response:
        """The document, with the address at which the routes are mounted."""
        whole = {**self._document, "servers": [{"url": _mounted_at(call.request)}]}
        return Response(msgspec.json.encode(whole), media_type="application/json")


def _mounted_at(request: Request) -> str:
    return str(request.scope.get("root_path", "")) or "/"
