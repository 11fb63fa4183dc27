"""Case 67 in every framework: a guard that never runs is found before anybody passes it."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.core.asgi import get_asgi_application
from django.urls import clear_url_caches, path
from fastapi import Depends, FastAPI
from litestar import Litestar, get
from quart import Quart
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import gatekeeper_django
import gatekeeper_fastapi
import gatekeeper_quart
import gatekeeper_starlette
from gatekeeper import Gatekeeper, asgi, requires_feature, requires_plan
from gatekeeper.asgi import App, Receive, Scope, Send
from gatekeeper.errors import GuardPlacementError
from gatekeeper.testing.clock import ManualClock
from gatekeeper_litestar import GatekeeperPlugin
from tests.adapters.driver import LifespanError, client_of, lifespan
from tests.adapters.hosts import django_host, django_urls
from tests.gates import new_gate

pytestmark = pytest.mark.anyio


@pytest.fixture
def closed_gate(migrated_sqlite_url: str, clock: ManualClock) -> Gatekeeper:
    return new_gate(migrated_sqlite_url, clock=clock)


async def app_of_the_host(scope: Scope, receive: Receive, send: Send) -> None:
    """No request is sent to it."""


def fresh() -> Callable[..., Any]:
    """A new function, which nothing has guarded yet."""

    async def view(request: Request) -> Any:
        return PlainTextResponse("")

    return view


def fastapi_above(gate: Gatekeeper) -> App:
    app = FastAPI(lifespan=gate.lifespan)
    gatekeeper_fastapi.install(app, gate)

    @gate.requires_plan("pro")
    @app.get("/masters")
    async def masters() -> None: ...

    return app


def fastapi_dependency(gate: Gatekeeper) -> App:
    app = FastAPI(lifespan=gate.lifespan)
    gatekeeper_fastapi.install(app, gate)

    async def paying() -> None: ...

    requires_plan("pro")(paying)

    @app.get("/masters", dependencies=[Depends(paying)])
    async def masters() -> None: ...

    return app


def starlette_original(gate: Gatekeeper) -> App:
    view = fresh()
    requires_plan("pro")(view)
    app = Starlette(routes=[Mount("/v1", routes=[Route("/masters", view)])], lifespan=gate.lifespan)
    gatekeeper_starlette.install(app, gate)
    return app


def quart_above(gate: Gatekeeper) -> App:
    app = Quart(__name__)
    gatekeeper_quart.install(app, gate)

    @gate.requires_plan("pro")
    @app.get("/masters")
    async def masters() -> str:
        return ""

    served: Any = app
    return served  # type: ignore[no-any-return]  # Quart types ASGI by hypercorn's


def litestar_original(gate: Gatekeeper) -> App:
    async def masters() -> str:
        return ""

    gate.requires_plan("pro")(masters)
    served: Any = Litestar([get("/masters")(masters)], plugins=[GatekeeperPlugin(gate)])
    return served  # type: ignore[no-any-return]  # Litestar types ASGI by its own


def django_original(gate: Gatekeeper) -> App:
    django_host.configure()
    view = fresh()
    gate.requires_plan("pro")(view)
    django_urls.urlpatterns = [path("masters", view)]
    clear_url_caches()
    return gatekeeper_django.install(get_asgi_application(), gate)


def asgi_original(gate: Gatekeeper) -> App:
    view = fresh()
    gate.requires_plan("pro")(view)
    return asgi.install(app_of_the_host, gate, endpoints=lambda: [("/masters", view)])


BUILDS = [
    asgi_original,
    django_original,
    fastapi_above,
    fastapi_dependency,
    litestar_original,
    quart_above,
    starlette_original,
]


@pytest.mark.parametrize("build", BUILDS)
async def test_case_67_a_guard_above_the_route_decorator_fails_the_start_and_says_so(
    build: Callable[[Gatekeeper], App], closed_gate: Gatekeeper
) -> None:
    app = build(closed_gate)
    with pytest.raises((LifespanError, GuardPlacementError)) as failed:
        async with lifespan(app):
            pytest.fail("the app has started")
    error: BaseException | None = failed.value
    messages = []
    while error is not None:
        messages.append(str(error))
        error = error.__cause__ or error.__context__
    assert any("masters" in text and "served without its guard" in text for text in messages)
    assert not closed_gate.is_open


def test_case_67_a_guard_above_litestars_decorator_fails_at_once(closed_gate: Gatekeeper) -> None:
    @get("/masters")
    async def masters() -> str:
        return ""

    with pytest.raises(GuardPlacementError, match="below the route decorator"):
        closed_gate.requires_plan("pro")(masters)


@pytest.mark.parametrize("framework", ["starlette", "fastapi"])
async def test_case_67_a_route_that_is_added_later_is_checked_when_it_is_added(
    framework: str, closed_gate: Gatekeeper
) -> None:
    app = _running_app(framework, closed_gate)
    async with client_of(app) as client:
        original = fresh()
        guarded = requires_plan("pro")(original)
        app.router.add_route("/guarded", guarded)
        with pytest.raises(GuardPlacementError, match="/late"):
            app.router.add_route("/late", original)
        assert (await client.get("/late")).status_code == 404
        app.router.add_route("/also-fine", fresh())
        assert (await client.get("/also-fine")).status_code == 200


async def test_case_67_a_guard_that_is_put_above_a_running_route_is_refused(
    closed_gate: Gatekeeper,
) -> None:
    app = _running_app("fastapi", closed_gate)
    async with lifespan(app):
        view = fresh()
        app.router.add_route("/late", view)
        with pytest.raises(GuardPlacementError, match="/late"):
            requires_plan("pro")(view)


def _running_app(framework: str, gate: Gatekeeper) -> Starlette:
    if framework == "starlette":
        starlette = Starlette(lifespan=gate.lifespan)
        gatekeeper_starlette.install(starlette, gate)
        return starlette
    app = FastAPI(lifespan=gate.lifespan)
    gatekeeper_fastapi.install(app, gate)
    return app


async def test_a_bare_name_is_checked_against_the_catalogue_when_the_app_starts(
    closed_gate: Gatekeeper,
) -> None:
    app = FastAPI(lifespan=closed_gate.lifespan)
    gatekeeper_fastapi.install(app, closed_gate)

    @app.get("/x")
    @requires_feature("teleportation")
    async def x() -> None: ...

    with pytest.raises(LifespanError, match=r"UnknownNameError.*'teleportation'"):
        async with lifespan(app):
            pytest.fail("the app has started")


def test_the_suite_imports_no_framework_into_the_library() -> None:
    """Importing gatekeeper alone must not import a host's framework."""
    code = (
        "import gatekeeper, sys; "
        "found = {'fastapi', 'litestar', 'quart', 'django', 'stripe', 'redis'} & set(sys.modules); "
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
