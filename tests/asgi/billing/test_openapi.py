"""The document says what the routes do, and is valid OpenAPI 3.1."""

import re
from html import unescape
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from gatekeeper import Gatekeeper
from gatekeeper.asgi import BillingOptions, install, page_headers
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
    own = {("GET", "/openapi.json"), ("GET", "/docs")}
    assert described == {(one.method, one.path) for one in operations} | own
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


async def test_each_schema_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    """Two structs of one name would be told apart by their modules, with dots."""
    assert [name for name in document["components"]["schemas"] if "." in name] == []


async def test_every_operation_stands_under_a_heading_of_its_subject(
    gate: Gatekeeper, document: dict[str, Any]
) -> None:
    found: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            (tag,) = operation["tags"]
            found.setdefault(tag, []).append(path)
    assert {one["name"] for one in document["tags"]} == set(found)
    assert set(found) == {
        *("account", "buying", "catalog", "credits", "description", "disputes", "invoices"),
        *("orders", "payment methods", "selling", "subscriptions", "top-ups", "usage"),
        *("back office: customers", "back office: disputes", "back office: events and outbox"),
        *("back office: health and record", "back office: orders", "back office: reconciliations"),
        *("back office: refunds", "back office: reports", "back office: selling"),
    }
    assert set(found["invoices"]) == {
        *("/invoices", "/invoices/{invoice}", "/invoices/{invoice}/pay", "/payments")
    }
    async with client_of(install(_no_app, gate, options=OPTIONS)) as client:
        page = (await client.get("/billing/docs")).text
    headings = re.findall("<h2>(.*?)</h2>", page)
    assert [one.lower() for one in headings] == [one["name"] for one in document["tags"]]


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


async def test_the_page_for_people_shows_it_all_and_runs_nothing(
    gate: Gatekeeper, document: dict[str, Any]
) -> None:
    async with client_of(install(_no_app, gate, options=OPTIONS)) as client:
        answers = [await client.get("/billing/docs") for _ in range(2)]
    page = answers[0]
    assert page.headers["content-type"].startswith("text/html")
    for path, methods in document["paths"].items():
        assert f"<code>{path}</code>" in page.text
        for operation in methods.values():
            assert operation["summary"] in unescape(page.text)
    policy = page.headers["content-security-policy"]
    nonce = policy.partition("'nonce-")[2].partition("'")[0]
    assert f'<style nonce="{nonce}">' in page.text
    assert "<script" not in page.text
    assert nonce not in answers[1].text
    assert page.headers["x-frame-options"] == "DENY"


def test_a_page_with_stripe_s_fields_lets_stripe_in_and_nobody_else() -> None:
    policy = dict(
        one.split(" ", 1) for one in page_headers()["content-security-policy"].split("; ")
    )
    assert "https://js.stripe.com" in policy["script-src"]
    assert "https://hooks.stripe.com" in policy["frame-src"]
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in str(policy)
    without = page_headers(stripe_origins=())["content-security-policy"]
    assert "stripe" not in without
    assert "frame-src 'none'" in without
