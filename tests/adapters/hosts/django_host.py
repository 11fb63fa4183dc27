"""The suite's app in Django."""

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import clear_url_caches, include, path
from django.views import View
from starlette.requests import HTTPConnection

import gatekeeper_django
from gatekeeper import Gatekeeper, requires_plan, reserve
from tests.adapters.hosts import base, django_urls
from tests.adapters.hosts.base import CHAT_TOKENS, CUSTOMER_HEADER, OUTCOME_HEADER, Host, Seen


def configure() -> None:
    """Django is set up once in a process."""
    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"],
            DEBUG=False,
            LOGGING_CONFIG=None,
            MIDDLEWARE=["gatekeeper_django.middleware"],
            ROOT_URLCONF=django_urls.__name__,
            SECRET_KEY="a secret of tests",
            USE_TZ=True,
        )
        django.setup()


def build(gate: Gatekeeper) -> Host:
    configure()
    seen = Seen()

    @gate.identify
    async def who(connection: HTTPConnection) -> str | None:
        request: HttpRequest = connection.scope["django.request"]
        customer: str | None = request.headers.get(CUSTOMER_HEADER)
        return customer

    async def free(request: HttpRequest) -> HttpResponse:
        return HttpResponse("free")

    class Pro(View):  # type: ignore[misc]  # Django ships no types
        @requires_plan("pro")
        async def get(self, request: HttpRequest) -> HttpResponse:
            seen.ran.append("pro")
            return HttpResponse("pro")

    @gate.requires_feature("downloads")
    async def downloads(request: HttpRequest) -> HttpResponse:
        return HttpResponse("downloads")

    @gate.consumes_credits("image")
    async def image(request: HttpRequest) -> HttpResponse:
        status = seen.handle("image", request.headers.get(OUTCOME_HEADER))
        return HttpResponse("image", status=status)

    @gate.consumes_credits(4)
    def image_sync(request: HttpRequest) -> HttpResponse:
        status = seen.handle("image-sync", request.headers.get(OUTCOME_HEADER))
        return HttpResponse("image", status=status)

    @gate.consumes("exports", base.exports_of)
    async def exports(request: HttpRequest) -> HttpResponse:
        return HttpResponse("exports")

    async def chat(request: HttpRequest) -> HttpResponseBase:
        hold = await reserve("chat", CHAT_TOKENS)
        chunks, pause = int(request.GET["chunks"]), float(request.GET["pause"])
        return StreamingHttpResponse(seen.stream(hold, chunks, pause))

    async def summary(request: HttpRequest) -> HttpResponse:
        await reserve("chat", CHAT_TOKENS)
        status = seen.handle("summary", request.headers.get(OUTCOME_HEADER))
        return HttpResponse("summary", status=status)

    django_urls.urlpatterns = [
        path("free", free),
        path("pro", Pro.as_view()),
        path("", include([path("downloads", downloads)])),
        path("image", image),
        path("image-sync", image_sync),
        path("exports", exports),
        path("chat", chat),
        path("summary", summary),
    ]
    clear_url_caches()
    app = gatekeeper_django.install(get_asgi_application(), gate)
    return Host(app, gate, seen, has_websockets=False, has_background=False)
