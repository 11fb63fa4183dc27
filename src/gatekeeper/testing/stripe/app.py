"""The ASGI app: the API, the hosted pages and the control endpoints of one simulator."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gatekeeper.testing.stripe.api import (
    account,
    balance,
    checkout_sessions,
    connect,
    coupons,
    customers,
    disputes,
    events,
    invoice_previews,
    invoices,
    meters,
    onboarding,
    payment_intents,
    payment_methods,
    payouts,
    prices,
    products,
    radar,
    refunds,
    setup_intents,
    subscriptions,
    transfers,
)
from gatekeeper.testing.stripe.api import schedules as schedules_api
from gatekeeper.testing.stripe.billing import checkout, renewals, schedules
from gatekeeper.testing.stripe.billing import invoices as invoicing
from gatekeeper.testing.stripe.billing import payouts as paying_out
from gatekeeper.testing.stripe.billing import subscriptions as subscribing
from gatekeeper.testing.stripe.core.errors import ApiError
from gatekeeper.testing.stripe.endpoint import Endpoint
from gatekeeper.testing.stripe.pages.checkout import CheckoutPages
from gatekeeper.testing.stripe.pages.elements import OPEN, ElementsScript
from gatekeeper.testing.stripe.pages.html import page
from gatekeeper.testing.stripe.pages.invoices import InvoicePages
from gatekeeper.testing.stripe.pages.onboarding import OnboardingPages
from gatekeeper.testing.stripe.pages.portal import PortalPages
from gatekeeper.testing.stripe.routing import Api
from gatekeeper.testing.stripe.state import State

TICK_SECONDS = 0.05

_RESOURCES = (
    account,
    balance,
    prices,
    products,
    checkout_sessions,
    connect,
    coupons,
    customers,
    disputes,
    events,
    invoice_previews,
    invoices,
    meters,
    onboarding,
    payment_intents,
    payment_methods,
    payouts,
    radar,
    refunds,
    schedules_api,
    setup_intents,
    subscriptions,
    transfers,
)


def build_api() -> Api:
    """Every operation that the simulator knows."""
    api = Api()
    for resource in _RESOURCES:
        resource.register(api)
    return api


def wire(state: State) -> None:
    """Tell invoices of their intents, and subscriptions and sessions of their invoices."""
    state.hooks.intent_moved = {
        "invoice": invoicing.intent_moved,
        "checkout": checkout.intent_moved,
    }
    state.hooks.invoice_moved = [renewals.invoice_moved, checkout.invoice_moved]
    state.hooks.setup_moved = [subscribing.setup_moved]
    state.hooks.subscription_started = renewals.watch
    state.hooks.invoice_drafted = renewals.plan_collection
    state.hooks.period_due = schedules.period_due
    state.hooks.subscription_ended = schedules.subscription_ended
    if state.settings.payout_schedule == "daily":
        paying_out.schedule(state)


async def work(state: State) -> None:
    """Let time do its work and webhooks leave, until cancelled."""
    while True:
        state.catch_up()
        await state.postman.deliver_due()
        await anyio.sleep(TICK_SECONDS)


def build_app(state: State, endpoint: Endpoint, control: list[Route]) -> Starlette:
    """The app; its lifespan runs the worker when the settings ask for automatic delivery."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            if state.settings.auto_deliver:
                tasks.start_soon(work, state)
            yield
            tasks.cancel_scope.cancel()

    async def refused(request: Request, error: Exception) -> Response:
        status = error.status if isinstance(error, ApiError) else 500
        return page("Error", f"<h1>Error</h1><p>{error}</p>", status=status)

    async def handle(request: Request) -> Response:
        response = await endpoint.handle(request)
        if "origin" in request.headers:
            response.headers.update(OPEN)
        return response

    routes = [
        Route("/v1/{rest:path}", handle, methods=["GET", "POST", "DELETE"]),
        Route("/v2/{rest:path}", endpoint.handle, methods=["GET"]),
        *CheckoutPages(state).routes,
        *ElementsScript(state).routes,
        *InvoicePages(state).routes,
        *PortalPages(state).routes,
        *OnboardingPages(state).routes,
        *control,
    ]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={ApiError: refused})
