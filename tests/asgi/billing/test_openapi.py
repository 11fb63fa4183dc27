"""The document says what the routes do, and is valid OpenAPI 3.1."""

import re
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from gatekeeper import Gatekeeper
from gatekeeper.asgi import BillingOptions, install
from gatekeeper.asgi.billing import operations_of
from gatekeeper.storage.memory import MemoryStore
from tests.adapters.driver import client_of
from tests.asgi.apps import by_header
from tests.gates import new_gate

pytestmark = pytest.mark.anyio

OPTIONS = BillingOptions(back_office=lambda _: "ann")


@pytest.fixture
def gate() -> Gatekeeper:
    gate = new_gate("sqlite:///unused", store=MemoryStore())
    by_header(gate)
    return gate


@pytest.fixture
async def document(gate: Gatekeeper) -> dict[str, Any]:
    async with client_of(install(_no_app, gate, options=OPTIONS)) as client:
        answer: httpx.Response = await client.get("/billing/openapi.json")
    found: dict[str, Any] = answer.json()
    return found


async def _no_app(*_: Any) -> None:
    pytest.fail("it was not for the app")


async def test_every_operation_is_described(gate: Gatekeeper, document: dict[str, Any]) -> None:
    described = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    operations = operations_of(gate, OPTIONS)
    assert described == {(one.method, one.path) for one in operations} | {("GET", "/openapi.json")}
    assert len({one.name for one in operations}) == len(operations)
    assert document["openapi"] == "3.1.1"
    assert document["servers"] == [{"url": "/billing"}]


async def test_its_schemas_are_schemas_and_its_references_lead_somewhere(
    document: dict[str, Any],
) -> None:
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    named = set(re.findall(r"'#/components/schemas/([^']+)'", repr(document)))
    assert named <= set(schemas)
    assert "Problem" in named


async def test_fields_say_what_they_are(document: dict[str, Any]) -> None:
    balance = document["components"]["schemas"]["BalanceView"]
    assert "Attributes" not in balance["description"]
    assert balance["properties"]["held"]["description"]


async def test_what_may_be_answered_is_named_by_its_codes(document: dict[str, Any]) -> None:
    checkout = document["paths"]["/checkout"]["post"]
    assert {"200", "400", "401", "403", "409", "413", "429", "503"} <= set(checkout["responses"])
    assert "`unknown_name`" in checkout["responses"]["400"]["description"]
    assert "Retry-After" in checkout["responses"]["429"]["headers"]
    assert [one["name"] for one in checkout["parameters"]] == ["Idempotency-Key"]
    public = document["paths"]["/openapi.json"]["get"]["responses"]
    assert "401" not in public
