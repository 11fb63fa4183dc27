"""The OpenAPI document against what the routes do: schemathesis makes requests from it, fit and
unfit ones, and every answer must be among those that it describes. None may be a fault of ours.

Half of the requests are about objects that are there.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
import schemathesis
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup

from gatekeeper.asgi import BillingOptions
from gatekeeper.asgi.billing.rate_limits import RateLimits
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.testing.stripe import Simulator
from gatekeeper.testing.stripe.fixtures import (  # noqa: F401 -- fixtures
    stripe_sim,
    stripe_sim_openapi,
    stripe_sim_server,
    stripe_sim_settings,
    stripe_sim_spec,
)
from tests.asgi.billing.world import BUYER, SELLER, STRANGER, World
from tests.asgi.subscribing.conftest import opened

OPTIONS = BillingOptions(
    rate_limits=RateLimits(reads=None, writes=None, strangers=None),
    back_office=lambda request: "carl",
    consumable=("credits",),
)

DESCRIBED = ("status_code_conformance", "content_type_conformance", "response_schema_conformance")

NAMES = {"name": "credits", "pack": "credits_100", "plan": "team", "price": "team_monthly"}
"""What the catalogue has."""

ENDLESS = "/events"
"""Answers for as long as somebody listens: tests/asgi/customer/test_events.py has it."""


class Api:
    """The routes with a world behind them, on an event loop of their own."""

    def __init__(self, sim: Simulator, stack: ExitStack) -> None:
        store = MemoryStore(clock=lambda: sim.now)
        self._portal = stack.enter_context(start_blocking_portal())
        opening = opened(sim, store, options=OPTIONS)
        self._page = stack.enter_context(self._portal.wrap_async_context_manager(opening))
        self.world = World(self._page)
        self._portal.call(self.world.fill)
        document = self._portal.call(self._page.browser.get, "/billing/openapi.json").json()
        self._schema = schemathesis.openapi.from_dict(document)
        load_all_checks()
        self._checks: list[Any] = [CHECKS.get_one(name) for name in DESCRIBED]

    def operations(self) -> Iterator[Any]:
        """All of them, as schemathesis has them."""
        for found in self._schema.get_all_operations():
            operation: Any = found.ok()  # type: ignore[union-attr]
            if operation.path != ENDLESS:
                yield operation

    def cases(self, operation: Any) -> st.SearchStrategy[Case[Any]]:
        """Requests to an operation, fit and unfit."""
        fit, unfit = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
        made = operation.as_strategy(generation_mode=fit)
        kinds = [made]
        if operation.path_parameters or operation.body:
            there = operation.as_strategy(fit, path_parameters=self._known(operation.path))
            kinds.append(there.map(self._about_what_is_there))
        if operation.body or operation.query:
            kinds.append(operation.as_strategy(unfit))
        # A host's own mount knows no path with a line feed, and answers that itself.
        return st.one_of(*kinds).filter(lambda case: "%0A" not in case.formatted_path)

    def judge(self, case: Case[Any]) -> None:
        """Send a case as whoever owns the objects that it is about, and check the answer."""
        sent = case.as_transport_kwargs(base_url="http://host.test/billing")
        headers = {**sent["headers"], "x-customer": _owner(case.path)}
        if "data" in sent:
            sent["content"] = sent.pop("data")
        known = {k: sent[k] for k in ("method", "url", "params", "json", "content") if k in sent}
        asked = self._page.browser.build_request(**known, headers=headers)
        answer: httpx.Response = self._portal.call(self._page.browser.send, asked)
        assert answer.status_code != 500, answer.text
        case.validate_response(answer, checks=self._checks)

    def _about_what_is_there(self, case: Case[Any]) -> Case[Any]:
        """The case with names of the catalogue's and of the world's in its body."""
        if isinstance(case.body, dict):
            there = {**self.world.ids, **NAMES}
            case.body = {
                name: there[name] if name in there and isinstance(value, str) else value
                for name, value in case.body.items()
            }
        return case

    def _known(self, path: str) -> dict[str, str]:
        ids = {**self.world.ids, "customer": STRANGER}
        if path.startswith("/sellers"):
            ids["order"] = ids["sale"]
        names = [word.strip("{}") for word in path.split("/") if word.startswith("{")]
        return {name: ids.get(name, f"{name}_1") for name in names}


def _owner(path: str) -> str:
    sells = path.startswith(("/sellers", "/disputes")) or path.endswith("/capture")
    return SELLER if sells else BUYER


@pytest.mark.unmeasured
@pytest.mark.parametrize("examples", [3, pytest.param(100, marks=pytest.mark.long)])
def test_every_answer_is_one_that_is_described(
    examples: int,
    stripe_sim: Simulator,  # noqa: F811
) -> None:
    wrong: list[str] = []
    with ExitStack() as stack:
        api = Api(stripe_sim, stack)
        for operation in api.operations():

            @settings(
                max_examples=examples,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=api.cases(operation))
            def ask(case: Case[Any]) -> None:
                api.judge(case)

            try:
                ask()
            except (AssertionError, FailureGroup) as error:
                wrong.append(f"{operation.method.upper()} {operation.path}: {error}")
    assert not wrong, "\n\n".join(wrong)
