"""The fixtures of the examples' browser tests."""

import contextlib
import functools
import os
import re
import subprocess
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests import warm
from tests.examples.browsing import PATIENCE_MS, ROOT, somebody

STOP_SECONDS = 30
BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

Serve = Callable[[str], str]


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Serves `python -m examples.NAME` on a free port, once for a module; returns its address."""
    with contextlib.ExitStack() as stack:
        yield functools.cache(lambda name: stack.enter_context(served(name)))


@contextlib.contextmanager
def served(name: str) -> Iterator[str]:
    foreign = ("GATEKEEPER_", "STRIPE_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    process = subprocess.Popen(
        [*warm.python(), "-m", f"examples.{name}", "--port", "0"],
        cwd=ROOT,
        env=env | {"PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", said)
        if found is None:
            process.terminate()
            raise AssertionError(said + process.stdout.read())
        yield found.group()
    finally:
        process.terminate()
        process.communicate(timeout=STOP_SECONDS)


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    """One for a module, and no longer: it keeps an event loop running in this thread."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium_path, args=BROWSER_ARGUMENTS, headless=True
        )
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of somebody who was never here before."""
    with somebody(browser, viewport={"width": 760, "height": 620}) as made:
        yield made


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """`expect` asks again until something is so: how long at most."""
    expect.set_options(timeout=PATIENCE_MS)
    yield
    expect.set_options(timeout=5_000)
