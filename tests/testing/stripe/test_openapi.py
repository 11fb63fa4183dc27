"""The validator: what it finds, and that it agrees with a general one."""

import copy
import json
import re
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
import stripe

from gatekeeper.testing.stripe import (
    API_VERSION,
    Exchange,
    OpenApi,
    Simulator,
    SpecViolation,
)
from gatekeeper.testing.stripe import published as published_module
from gatekeeper.testing.stripe.openapi import DIFFERENCES, Difference
from gatekeeper.testing.stripe.published import load_published_spec
from tests.testing.stripe.shop import new_session, subscribe

WRONG: tuple[Any, ...] = (None, 5, "x", [], {}, True)
CUSTOMERS = "/v1/customers"


@pytest.fixture
def openapi(stripe_sim_openapi: OpenApi | None) -> OpenApi:
    assert stripe_sim_openapi is not None
    return stripe_sim_openapi


@pytest.fixture
def subscription(client: Any, stripe_sim: Simulator) -> dict[str, Any]:
    return copy.deepcopy(stripe_sim.state.store.get("subscription", subscribe(client).id))


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda s: s.pop("items"), "items is missing"),
        (lambda s: s.update(status="asleep"), "'asleep' is not one of"),
        (lambda s: s.update(created="today"), "'today' is not an integer"),
        (lambda s: s.update(created=True), "True is not an integer"),
        (lambda s: s.update(livemode=1), "1 is not a boolean"),
        (lambda s: s.update(livemode="x"), "'x' is not a boolean"),
        (lambda s: s.update(application_fee_percent="1"), "'1' is not a number"),
        (lambda s: s.update(current_period_end=1), "current_period_end is not a field"),
        (lambda s: s.update(customer=None), "customer"),
        (lambda s: s.update(metadata={"a": 1}), "1 is not a string"),
        (lambda s: s.update(metadata=[]), "is not an object"),
        (lambda s: s.update(discounts={}), "is not an array"),
        (lambda s: s.update(id="x" * 5_001), "longer than 5000"),
        (lambda s: s["items"].update(url="nowhere"), None),
        (lambda s: s["items"]["data"][0].pop("price"), "items.data[0]: price is missing"),
        (
            lambda s: s.update(customer={"object": "customer", "id": "cus_1", "deleted": False}),
            "customer.deleted: False is not a boolean out of (True,)",
        ),
        (lambda s: s.update(customer={"object": "customer", "id": "cus_1"}), "created is missing"),
        (lambda s: s.update(customer={"object": "alien"}), "customer"),
    ],
)
def test_a_wrong_object_is_found(
    openapi: OpenApi, subscription: dict[str, Any], spoil: Any, problem: str | None
) -> None:
    openapi.check_object("subscription", subscription)
    spoil(subscription)
    if problem is None:
        openapi.check_object("subscription", subscription)
    else:
        with pytest.raises(SpecViolation) as caught:
            openapi.check_object("subscription", subscription)
        assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({"email": "a@b.c", "balance": "5", "expand": {"0": "subscriptions"}}, None),
        ({"balance": "5.5"}, "'5.5' is not an integer"),
        ({"nothing": "1"}, "nothing is not a field"),
        ({"expand": {"1": "x"}}, "is not an array"),
        ({"address": "Cork"}, "'Cork'"),
        ({"address": ""}, None),
        ({"tax_exempt": "maybe"}, "is not one of"),
        ({"cash_balance": {"settings": {"reconciliation_mode": "x"}}}, "is not one of"),
        ({"tax": {"validate_location": {"a": "b"}}}, "is not a string"),
    ],
)
def test_a_wrong_request_is_found(
    openapi: OpenApi, stripe_sim: Simulator, form: dict[str, Any], problem: str | None
) -> None:
    answer = stripe_sim.client().v1.customers.create({}).to_dict()
    exchange = Exchange("POST", CUSTOMERS, form, 200, answer)
    if problem is None:
        openapi.check_exchange(exchange)
    else:
        with pytest.raises(SpecViolation) as caught:
            openapi.check_exchange(exchange)
        assert problem in str(caught.value)


def test_an_operation_that_stripe_does_not_have(openapi: OpenApi) -> None:
    with pytest.raises(SpecViolation, match="not an operation"):
        openapi.check_exchange(Exchange("GET", "/v1/nothing", {}, 200, {}))


def test_a_simulator_that_lies_fails_its_caller_and_its_test(
    openapi: OpenApi, stripe_sim: Simulator
) -> None:
    liar = Simulator(stripe_sim.settings)
    liar.served_at(stripe_sim.url)
    openapi.watch(liar)
    for wrong in ({"created": "now"}, {"type": "customer.born"}):
        for look in liar.state.event_watchers:
            look({**_event(stripe_sim), **wrong})
    assert "created: 'now' is not an integer" in liar.violations[0]
    assert "customer.born is not an event of Stripe's" in liar.violations[1]

    def never(exchange: Exchange) -> None:
        raise SpecViolation("seeded")

    stripe_sim.on_exchange(never)
    with pytest.raises(stripe.APIError, match="broke a promise: seeded"):
        stripe_sim.client().v1.customers.list()
    assert stripe_sim.violations == ["GET /v1/customers: seeded"]
    stripe_sim.violations.clear()


def _event(sim: Simulator) -> dict[str, Any]:
    sim.client().v1.customers.create({})
    return sim.events()[-1]


def test_every_operation_of_the_simulator_is_stripe_s(
    stripe_sim: Simulator, stripe_sim_spec: dict[str, Any] | None
) -> None:
    assert stripe_sim_spec is not None
    for _, operation in stripe_sim.endpoint._routes:
        known = stripe_sim_spec["paths"][operation.path][operation.method.lower()]
        asked = {p["name"] for p in known.get("parameters", ())}
        for content in known.get("requestBody", {}).get("content", {}).values():
            asked |= set(content["schema"].get("properties", {}))
        unknown = set(operation.params.kinds) - asked
        assert not unknown, f"{operation.method} {operation.path}: {unknown}"


def test_it_agrees_with_a_general_validator(
    client: Any,
    stripe_sim: Simulator,
    stripe_sim_spec: dict[str, Any],
    openapi: OpenApi,
) -> None:
    session = new_session(client)
    stripe_sim.pay_checkout(session.id)
    stripe_sim.advance(days=31)
    schemas = stripe_sim_spec["components"]["schemas"]
    store = stripe_sim.state.store
    for kind in ("customer", "price", "product", "subscription", "invoice", "charge"):
        obj = store.all(kind)[0]
        general = jsonschema.Draft4Validator(
            {**_nullable(schemas[kind]), "components": {"schemas": _nullable(schemas)}}
        )
        assert general.is_valid(obj)
        openapi.check_object(kind, obj)
        for field in list(obj):
            for wrong in WRONG:
                spoilt = {**obj, field: wrong}
                fits = general.is_valid(spoilt)
                assert fits is _accepts(openapi, kind, spoilt), (kind, field, wrong)


def _accepts(openapi: OpenApi, kind: str, obj: dict[str, Any]) -> bool:
    try:
        openapi.check_object(kind, obj)
    except SpecViolation:
        return False
    return True


def _nullable(node: Any) -> Any:
    """OpenAPI's `nullable` in JSON Schema's words."""
    if isinstance(node, list):
        return [_nullable(child) for child in node]
    if not isinstance(node, dict):
        return node
    plain = {key: _nullable(value) for key, value in node.items() if key != "nullable"}
    if node.get("nullable") is True:
        return {"anyOf": [{"type": "null"}, plain]}
    return plain


def test_the_document_is_read_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def literal() -> dict[str, Any]:
        return {
            "description": "prose",
            "properties": {"description": {"type": "string", "description": "prose"}},
            "enum": ["a"],
        }

    monkeypatch.setattr(published_module, "_literal", literal)
    expected = {"properties": {"description": {"type": "string"}}, "enum": ["a"]}
    assert load_published_spec(tmp_path) == load_published_spec() == expected
    (kept,) = tmp_path.iterdir()
    kept.write_text(json.dumps({"kept": 1}))
    assert load_published_spec(tmp_path) == {"kept": 1}


def test_the_document_is_the_one_that_the_package_carries(tmp_path: Path) -> None:
    spec = load_published_spec(tmp_path)
    assert spec is not None
    assert spec["info"]["version"] == "2026-05-27.dahlia"
    assert load_published_spec(tmp_path) == spec


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_every_allowed_difference_is_still_one(
    difference: Difference, stripe_sim_spec: dict[str, Any], stripe_sim: Simulator
) -> None:
    assert difference.reason
    problems: list[str] = []
    strict = OpenApi(stripe_sim_spec, differences=())

    def look(exchange: Exchange) -> None:
        try:
            strict.check_exchange(exchange)
        except SpecViolation as violation:
            problems.append(str(violation))

    def look_at(event: dict[str, Any]) -> None:
        try:
            strict.check_event(event)
        except SpecViolation as violation:
            problems.append(str(violation))

    stripe_sim.on_exchange(look)
    stripe_sim.on_event(look_at)
    stripe_sim.client().v1.billing.meters.create(
        {"default_aggregation": {"formula": "sum"}, "display_name": "a", "event_name": "a"}
    )
    stripe_sim.client().v1.webhook_endpoints.create(
        cast(Any, {"url": "http://a.test", "enabled_events": ["*"], "api_version": API_VERSION})
    )
    assert any(re.match(difference.pattern, problem) for problem in problems)


def test_without_the_package_there_is_no_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_module, "_PACKAGE", "a-package-that-is-not-there")
    assert load_published_spec() is None
    monkeypatch.setattr(published_module, "_PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(ImportError):
        published_module._literal()
