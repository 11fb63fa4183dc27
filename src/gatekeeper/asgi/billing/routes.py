"""The billing routes that a product's pages need, as one Starlette app to mount under a prefix."""

from collections.abc import Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gatekeeper.asgi.billing import (
    back_office,
    buying,
    catalog,
    credits,
    disputes,
    events,
    invoices,
    market,
    me,
    orders,
    payment_intents,
    payment_methods,
    profile,
    sales,
    sellers,
    subscribing,
    top_ups,
    usage,
)
from gatekeeper.asgi.billing.answering import Answering, Endpoint
from gatekeeper.asgi.billing.openapi import described
from gatekeeper.asgi.billing.operations import Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.asgi.billing.origins import cors
from gatekeeper.asgi.billing.rate_limits import RateLimiter
from gatekeeper.asgi.problem import problem_answer
from gatekeeper.asgi.webhook_route import webhook_route
from gatekeeper.errors import GatekeeperError, MethodNotAllowedError, NotFoundError
from gatekeeper.gate import Gatekeeper

Subject = Callable[[Gatekeeper, BillingOptions], Sequence[Operation]]

SUBJECTS: tuple[Subject, ...] = (
    me.operations,
    catalog.operations,
    usage.operations,
    credits.operations,
    events.operations,
    invoices.operations,
    profile.operations,
    buying.operations,
    orders.operations,
    payment_intents.operations,
    subscribing.operations,
    payment_methods.operations,
    top_ups.operations,
    sellers.operations,
    sales.operations,
    disputes.operations,
    back_office.operations,
    market.operations,
)
"""What there is, subject by subject, as the document lists it. A literal path comes before one with
parameters."""


def billing_routes(
    gate: Gatekeeper,
    options: BillingOptions = BillingOptions(),
) -> Starlette:
    """The app, with `POST webhooks` and all operations, which `GET openapi.json` describes.

    The customer is always the one whom the host's authentication names.
    """
    redis_url = gate.settings.redis_url
    limiter = RateLimiter(
        options.rate_limits,
        gate.tasks,
        None if redis_url is None else redis_url.get_secret_value(),
    )
    answering = Answering(gate, options, limiter)
    operations = described(operations_of(gate, options))
    # Without a signing secret nothing can be accepted: better no route than one that fails.
    webhooks = [webhook_route(gate.receiver)] if gate.settings.webhook_secrets else []
    return Starlette(
        routes=[
            *webhooks,
            *(_route(path, answering, same) for path, same in _by_path(operations).items()),
        ],
        middleware=cors(options),
        exception_handlers={HTTPException: _no_such_route},
    )


def operations_of(gate: Gatekeeper, options: BillingOptions) -> list[Operation]:
    """Every operation that these options open."""
    every = [one for subject in SUBJECTS for one in subject(gate, options)]
    return [one for one in every if one.audience != "back_office" or options.back_office]


def _by_path(operations: Sequence[Operation]) -> Mapping[str, Sequence[Operation]]:
    found: dict[str, list[Operation]] = {}
    for one in operations:
        found.setdefault(one.path, []).append(one)
    return found


def _route(path: str, answering: Answering, operations: Sequence[Operation]) -> Route:
    """One route for all methods of a path, so that a 405 names them all."""
    endpoints: dict[str, Endpoint] = {one.method: answering.endpoint(one) for one in operations}

    async def answer(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await endpoints[method](request)

    return Route(path, answer, methods=list(endpoints), name=operations[0].name)


async def _no_such_route(request: Request, error: Exception) -> Response:
    """Starlette's own refusals, as problems."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = getattr(error, "headers", None) or {}
    refused: GatekeeperError = NotFoundError("There is nothing at this address.")
    if status == 405:
        refused = MethodNotAllowedError()
    answer = problem_answer(refused, scope=request.scope)
    answer.headers.update(headers)
    return answer
