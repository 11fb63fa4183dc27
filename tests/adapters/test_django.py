"""What only Django has: its test client, class-based views, one thread for synchronous code."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient
from django.urls import clear_url_caches, path
from django.utils.decorators import method_decorator
from django.views import View

import gatekeeper_django
from gatekeeper import Gatekeeper, requires_plan
from gatekeeper.errors import NoGateError
from gatekeeper.testing.clock import ManualClock
from tests.adapters.driver import client_of
from tests.adapters.hosts import django_host, django_urls
from tests.adapters.hosts.base import CUSTOMER_HEADER
from tests.gates import CUSTOMER, new_gate

pytestmark = pytest.mark.anyio

SIGNED_IN = {CUSTOMER_HEADER: CUSTOMER}


@pytest.fixture
def closed_gate(migrated_sqlite_url: str, clock: ManualClock) -> Gatekeeper:
    django_host.configure()
    gate = new_gate(migrated_sqlite_url, clock=clock)

    @gate.identify
    async def who(connection: Any) -> str | None:
        found: str | None = connection.scope["django.request"].headers.get(CUSTOMER_HEADER)
        return found

    return gate


def application(gate: Gatekeeper, **views: Callable[..., Any]) -> Any:
    django_urls.urlpatterns = [path(name, view) for name, view in views.items()]
    clear_url_caches()
    return gatekeeper_django.install(get_asgi_application(), gate)


async def test_djangos_own_test_client_sees_unguarded_views_as_ever(
    closed_gate: Gatekeeper,
) -> None:
    async def free(request: HttpRequest) -> HttpResponse:
        return HttpResponse("free")

    @closed_gate.requires_plan("free")
    async def guarded(request: HttpRequest) -> HttpResponse:
        return HttpResponse("never")

    application(closed_gate, free=free, guarded=guarded)
    client = AsyncClient()
    assert (await client.get("/free")).content == b"free"
    with pytest.raises(NoGateError):
        await client.get("/guarded")


async def test_synchronous_views_run_in_the_thread_of_djangos_connections(
    closed_gate: Gatekeeper,
) -> None:
    threads: list[int] = []

    @requires_plan("free")
    def guarded(request: HttpRequest) -> HttpResponse:
        threads.append(threading.get_ident())
        return HttpResponse("")

    async def view(request: HttpRequest) -> Any:
        threads.append(await sync_to_async(threading.get_ident)())
        return await guarded(request)

    async with client_of(application(closed_gate, view=view)) as client:
        assert (await client.get("/view", headers=SIGNED_IN)).status_code == 200
    assert len(threads) == 2
    assert len(set(threads)) == 1
    assert threading.get_ident() not in threads


async def test_class_based_views_are_guarded_by_method_or_as_a_whole(
    closed_gate: Gatekeeper,
) -> None:
    class Sync(View):  # type: ignore[misc]  # Django ships no types
        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("sync")

    @method_decorator(requires_plan("pro"), name="dispatch")
    class Async(View):  # type: ignore[misc]  # Django ships no types
        async def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("async")

    whole = requires_plan("pro")(Sync.as_view())
    app = application(closed_gate, whole=whole, dispatch=Async.as_view())
    async with client_of(app) as client:
        for name in ("/whole", "/dispatch"):
            assert (await client.get(name, headers=SIGNED_IN)).status_code == 402
        await closed_gate.customers.override_plan(CUSTOMER, "pro")
        for name in ("/whole", "/dispatch"):
            assert (await client.get(name, headers=SIGNED_IN)).status_code == 200


async def test_an_error_that_is_not_ours_stays_djangos(closed_gate: Gatekeeper) -> None:
    async def broken(request: HttpRequest) -> HttpResponse:
        raise ZeroDivisionError

    async with client_of(application(closed_gate, broken=broken)) as client:
        assert (await client.get("/broken")).status_code == 500
