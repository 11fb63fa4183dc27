"""Operations as an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.1.html)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from gatekeeper._version import __version__
from gatekeeper.asgi.billing.keys import HEADER
from gatekeeper.asgi.billing.openapi.schemas import Schemas
from gatekeeper.asgi.billing.operations import Empty, Operation
from gatekeeper.asgi.billing.values import PLAIN
from gatekeeper.asgi.problem import MEDIA_TYPE as PROBLEM
from gatekeeper.errors import (
    AuthenticationRequiredError,
    BodyTimeoutError,
    CardDeclinedError,
    ForbiddenError,
    GatekeeperError,
    IdempotencyConflictError,
    InvalidIdError,
    InvalidInputError,
    OriginRefusedError,
    OverloadedError,
    PayloadError,
    PayloadTooLargeError,
    RateLimitedError,
    StoreUnavailableError,
    StripeRequestError,
    TransactionConflictError,
    UnauthenticatedError,
    UnavailableError,
)
from gatekeeper.types import MAX_ID_CHARS

_ALWAYS: Final = (InvalidInputError, RateLimitedError, StoreUnavailableError, UnavailableError)
_WITH_BODY: Final = (PayloadError, BodyTimeoutError, PayloadTooLargeError, OverloadedError)
_WRITING: Final = (OriginRefusedError, IdempotencyConflictError, TransactionConflictError)
_PAYMENT: Final = (CardDeclinedError, AuthenticationRequiredError)

_PROBLEM_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "description": "What went wrong (RFC 9457). Programs decide by `code`, and show `detail`.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {
            "type": "string",
            "description": "For the person: in English, French or Dutch, by Accept-Language.",
        },
        "code": {"type": "string", "description": "For the program; stable."},
        "upgrade_url": {"type": "string", "description": "Where more can be bought, with a 402."},
        "decline_code": {
            "type": "string",
            "description": "Why a payment was declined, with `card_declined`: Stripe's word, or "
            "`generic_decline` where the holder of the card is not to be told.",
        },
        "payment_intent": {"type": "string", "description": "The payment that was declined."},
        "client_secret": {
            "type": "string",
            "description": "With `authentication_required`: for Stripe.js, to confirm the payment.",
        },
        "next": {"type": "string", "description": "What the page does next: `confirm`."},
    },
}

_HEADERS: Final = {
    "Retry-After": {"description": "In seconds.", "schema": {"type": "integer", "minimum": 0}}
}


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The document, but for where the routes are mounted."""
    schemas = Schemas(_types(operations))
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, schemas)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Billing",
            "version": __version__,
            "description": "Plans, credits and payments of whoever is signed in to the app.",
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(one.tag for one in operations)],
        "paths": paths,
        "components": {"schemas": {**schemas.components, "Problem": _PROBLEM_SCHEMA}},
    }


def _types(operations: Iterable[Operation]) -> list[Any]:
    found: list[Any] = []
    for one in operations:
        found += [type_ for type_ in (one.body, one.answer, one.query) if type_ is not None]
    return found


def _operation(one: Operation, schemas: Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "tags": [one.tag],
        "responses": {**_success(one, schemas), **_refusals(one)},
    }
    parameters = [*_path_parameters(one), *_query_parameters(one, schemas)]
    if one.writes and one.audience != "public":
        parameters.append(_key_parameter())
    if parameters:
        described["parameters"] = parameters
    if one.body is not None:
        content = {"application/json": {"schema": schemas.of(one.body)}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _success(one: Operation, schemas: Schemas) -> dict[str, Any]:
    content: dict[str, Any] = {
        media_type: {"schema": {"type": "string"}} for media_type in one.media_types
    }
    if one.answer is not None:
        content = {"application/json": {"schema": schemas.of(one.answer)}, **content}
    if not content:
        return {"204": {"description": "Done."}}
    return {str(one.status): {"description": "Done.", "content": content}}


def _refusals(one: Operation) -> dict[str, Any]:
    """By status, with the codes that each may have."""
    kinds: list[type[GatekeeperError]] = [*_ALWAYS, *one.errors]
    if one.body is not None:
        kinds += _WITH_BODY
    if one.writes:
        kinds += _WRITING
    if "{" in one.path:
        kinds.append(InvalidIdError)
    if StripeRequestError in one.errors:
        kinds += _PAYMENT
    if one.audience != "public":
        kinds.append(UnauthenticatedError if one.audience == "customer" else ForbiddenError)
    by_status: dict[int, set[type[GatekeeperError]]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, set()).add(kind)
    return {
        str(status): {
            "description": _listed(by_status[status]),
            "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            **({"headers": _HEADERS} if status in (429, 503) else {}),
        }
        for status in sorted(by_status)
    }


def _listed(kinds: Iterable[type[GatekeeperError]]) -> str:
    named = sorted((kind.code, (kind.__doc__ or "").strip().splitlines()[0]) for kind in kinds)
    return " ".join(f"`{code}`: {title}" for code, title in named)


def _path_parameters(one: Operation) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARS, "pattern": PLAIN}
    return [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name in re.findall(r"\{(\w+)\}", one.path)
    ]


def _query_parameters(one: Operation, schemas: Schemas) -> list[dict[str, Any]]:
    if one.query is Empty:
        return []
    schema = schemas.whole(one.query)
    required = schema.get("required", ())
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "schema": {key: value for key, value in own.items() if key != "description"},
            **({"description": own["description"]} if "description" in own else {}),
        }
        for name, own in schema["properties"].items()
    ]


def _key_parameter() -> dict[str, Any]:
    return {
        "name": HEADER.title(),
        "in": "header",
        "required": False,
        "description": "Makes the request once, however often it is sent: the same answer for the "
        "same request, and a 409 for another.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    }
