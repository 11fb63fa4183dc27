"""What only FastAPI has: the OpenAPI document, dependencies, response models."""

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel

import gatekeeper_fastapi
from gatekeeper import Gatekeeper, requires_plan
from gatekeeper.testing.clock import ManualClock
from tests.adapters.driver import client_of
from tests.adapters.hosts.base import CUSTOMER_HEADER, by_header
from tests.gates import CUSTOMER, available, new_gate

pytestmark = pytest.mark.anyio

SIGNED_IN = {CUSTOMER_HEADER: CUSTOMER}


class Prompt(BaseModel):
    """A body."""

    text: str


class Image(BaseModel):
    """An answer."""

    url: str


IMAGE = Image(url="https://images.test/1")


@pytest.fixture
def closed_gate(migrated_sqlite_url: str, clock: ManualClock) -> Gatekeeper:
    gate = new_gate(migrated_sqlite_url, clock=clock)
    by_header(gate)
    return gate


@pytest.fixture
def app(closed_gate: Gatekeeper) -> FastAPI:
    return FastAPI(lifespan=closed_gate.lifespan)


def answers(document: dict[str, Any], path: str, method: str = "post") -> dict[str, Any]:
    responses: dict[str, Any] = document["paths"][path][method]["responses"]
    return responses


def test_401_and_402_are_in_the_openapi_of_guarded_routes_alone(
    app: FastAPI, closed_gate: Gatekeeper
) -> None:
    billing = gatekeeper_fastapi.install(app, closed_gate)
    inner = APIRouter(prefix="/inner", dependencies=[billing.requires_plan("pro")])
    outer = APIRouter(prefix="/outer")

    def subscriber(_: Annotated[None, billing.requires_plan("team")]) -> None: ...

    @app.post("/decorated")
    @closed_gate.consumes_credits("image")
    async def decorated(prompt: Prompt) -> Image:
        return IMAGE

    @app.post("/dependent", dependencies=[billing.consumes("exports", 1)])
    async def dependent(prompt: Prompt) -> Image:
        return IMAGE

    @app.post("/deeper")
    async def deeper(_: Annotated[None, Depends(subscriber)]) -> Image:
        return IMAGE

    @inner.post("/routed/{name}")
    async def routed(name: str) -> Image:
        return IMAGE

    @outer.post("/included")
    @requires_plan("pro")
    async def included() -> Image:
        return IMAGE

    @app.post("/free")
    async def free(prompt: Prompt) -> Image:
        return IMAGE

    @app.get("/decorated")
    async def other_method() -> Image:
        return IMAGE

    outer.include_router(inner)
    app.include_router(outer, prefix="/v1")
    document = app.openapi()
    guarded = (
        "/decorated",
        "/dependent",
        "/deeper",
        "/v1/outer/inner/routed/{name}",
        "/v1/outer/included",
    )
    for path in guarded:
        found = answers(document, path)
        assert {"401", "402"} <= set(found), path
        assert list(found["402"]["content"]) == ["application/problem+json"]
    assert not {"401", "402"} & set(answers(document, "/free"))
    assert not {"401", "402"} & set(answers(document, "/decorated", "get"))
    assert app.openapi() is document


def test_a_guarded_handler_keeps_its_signature(app: FastAPI, closed_gate: Gatekeeper) -> None:
    gatekeeper_fastapi.install(app, closed_gate)

    @app.post("/image")
    @closed_gate.consumes_credits(4)
    def image(prompt: Prompt, size: int = 512) -> Image:
        """Paint."""
        return IMAGE

    operation = app.openapi()["paths"]["/image"]["post"]
    assert operation["description"] == "Paint."
    assert [p["name"] for p in operation["parameters"]] == ["size"]
    assert operation["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/Prompt"
    }
    assert operation["responses"]["200"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/Image"
    }


async def test_case_65_a_response_that_fails_validation_releases_the_fixed_cost(
    app: FastAPI, closed_gate: Gatekeeper
) -> None:
    gatekeeper_fastapi.install(app, closed_gate)

    @app.post("/image")
    @closed_gate.consumes_credits("image")
    async def image() -> Image:
        return {"address": "not a url"}  # type: ignore[return-value]  # what is tested

    async with client_of(app) as client:
        assert (await client.post("/image", headers=SIGNED_IN)).status_code == 500
        assert await available(closed_gate) == 5


async def test_a_request_that_fails_validation_is_not_charged(
    app: FastAPI, closed_gate: Gatekeeper
) -> None:
    billing = gatekeeper_fastapi.install(app, closed_gate)

    @app.post("/image")
    @closed_gate.consumes_credits("image")
    async def image(prompt: Prompt) -> Image:
        return IMAGE

    @app.post("/paid-first", dependencies=[billing.consumes_credits("image")])
    async def paid_first(prompt: Prompt) -> Image:
        return IMAGE

    async with client_of(app) as client:
        for path in ("/image", "/paid-first"):
            answer = await client.post(path, json={"wrong": 1}, headers=SIGNED_IN)
            assert answer.status_code == 422
        assert await available(closed_gate) == 5


async def test_a_dependency_runs_after_the_apps_own(app: FastAPI, closed_gate: Gatekeeper) -> None:
    billing = gatekeeper_fastapi.install(app, closed_gate)
    order: list[str] = []

    async def auth() -> None:
        order.append("auth")

    @closed_gate.identify
    async def who(_: object) -> str:
        order.append("identify")
        return CUSTOMER

    @app.get("/pro", dependencies=[Depends(auth), billing.requires_plan("free")])
    async def pro() -> None: ...

    async with client_of(app) as client:
        assert (await client.get("/pro")).status_code == 200
    assert order == ["auth", "identify"]


async def test_a_guard_works_under_annotations_that_are_strings(
    app: FastAPI, closed_gate: Gatekeeper
) -> None:
    gatekeeper_fastapi.install(app, closed_gate)

    @app.post("/image")
    @requires_plan("free")
    async def image(prompt: "Prompt") -> "Image":
        return Image(url=prompt.text)

    async with client_of(app) as client:
        answer = await client.post("/image", json={"text": "a cat"}, headers=SIGNED_IN)
        assert answer.json() == {"url": "a cat"}
