"""The simulator's own tests use its fixtures as any host would, with the clock at a fixed day."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from gatekeeper.testing.stripe import Settings, Simulator
from gatekeeper.testing.stripe.fixtures import (
    stripe_sim,
    stripe_sim_openapi,
    stripe_sim_server,
    stripe_sim_spec,
)
from tests.testing.stripe.receiver import Receiver

__all__ = ["stripe_sim", "stripe_sim_openapi", "stripe_sim_server", "stripe_sim_spec"]

START = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def stripe_sim_settings() -> Settings:
    return Settings(seed=1, ticking=False, start=START)


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    """One browser for the tests of a module; each makes a context of its own."""
    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def client(stripe_sim: Simulator) -> Any:
    """The real client. Untyped: the tests send what its types forbid, and read optional parts."""
    return stripe_sim.client()


@pytest.fixture
def receiver(stripe_sim: Simulator) -> Receiver:
    return Receiver(stripe_sim)
