"""pytest fixtures: `pytest_plugins = ["gatekeeper.testing.stripe.fixtures"]`.

`stripe_sim` is a fresh simulator for every test, served on a loopback port; its clock stands still
until the test moves it. Override `stripe_sim_settings` to change it. Where the package that carries
Stripe's OpenAPI document is installed, every exchange and every event is validated against it and a
difference fails the test; override `stripe_sim_spec` to return None to go without.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from gatekeeper.testing.stripe.openapi import OpenApi
from gatekeeper.testing.stripe.published import load_published_spec
from gatekeeper.testing.stripe.server import ServerThread
from gatekeeper.testing.stripe.settings import Settings
from gatekeeper.testing.stripe.simulator import Simulator


@pytest.fixture(scope="session")
def stripe_sim_server() -> Iterator[ServerThread]:
    """The server that every test's simulator is mounted on."""
    with ServerThread() as server:
        yield server


@pytest.fixture
def stripe_sim_settings() -> Settings:
    """The settings of `stripe_sim`."""
    return Settings(seed=1, ticking=False)


@pytest.fixture(scope="session")
def stripe_sim_spec(pytestconfig: pytest.Config) -> dict[str, Any] | None:
    """Stripe's OpenAPI document, or None where it is not installed."""
    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)  # absent without its plugin
    return load_published_spec(cache.mkdir("gatekeeper-stripe") if cache is not None else None)


@pytest.fixture(scope="session")
def stripe_sim_openapi(stripe_sim_spec: dict[str, Any] | None) -> OpenApi | None:
    """The validator, compiled once for a session."""
    return OpenApi(stripe_sim_spec) if stripe_sim_spec is not None else None


@pytest.fixture
def stripe_sim(
    stripe_sim_server: ServerThread,
    stripe_sim_settings: Settings,
    stripe_sim_openapi: OpenApi | None,
) -> Iterator[Simulator]:
    """A running simulator. At the end of the test nothing may have broken Stripe's document."""
    simulator = stripe_sim_server.mount(Simulator(stripe_sim_settings))
    if stripe_sim_openapi is not None:
        stripe_sim_openapi.watch(simulator)
    yield simulator
    assert not simulator.violations, "\n".join(simulator.violations)
