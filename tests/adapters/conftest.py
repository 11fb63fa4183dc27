"""Each host of the suite in turn, on an open database of its own."""

import gc
import importlib
from collections.abc import Iterator

import pytest

from gatekeeper.testing.clock import ManualClock
from tests.adapters.hosts.base import Host
from tests.gates import (  # noqa: F401 -- fixtures
    clock,
    gate,
    gate_url,
    new_gate,
)

HOSTS = {
    "asgi": "asgi_host:build",
    "django": "django_host:build",
    "fastapi": "fastapi_host:build",
    "fastapi-depends": "fastapi_host:build_depends",
    "litestar": "litestar_host:build",
    "quart": "quart_host:build",
    "starlette": "starlette_host:build",
}


@pytest.fixture(scope="module")
def collected() -> Iterator[None]:
    """What these tests leave to the garbage collector is not found by tests of something else."""
    yield
    gc.collect()


def build_host(name: str, url: str, clock: ManualClock | None = None) -> Host:  # noqa: F811
    """The host of this name under a new gate."""
    module, _, function = HOSTS[name].partition(":")
    build = getattr(importlib.import_module(f"tests.adapters.hosts.{module}"), function)
    host: Host = build(new_gate(url, clock=clock))
    return host


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest, migrated_sqlite_url: str, clock: ManualClock) -> Host:  # noqa: F811
    """Every host in turn, closed, on SQLite."""
    return build_host(request.param, migrated_sqlite_url, clock)
