"""`host`: a folder with an app's `billing.py`, in which commands are run; `stripe_host`: the same,
with the simulator for its Stripe."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import httpx
import pytest

from gatekeeper.testing.stripe import ServerThread, Simulator
from gatekeeper.testing.stripe.fixtures import stripe_sim_server
from gatekeeper.testing.stripe.settings import DEFAULT_API_KEY
from tests import warm
from tests.cli.in_process import run_command
from tests.services.process import ServerProcess

__all__ = ["stripe_sim_server"]

TIMEOUT_SECONDS = 60

BILLING = """
from pathlib import Path

from gatekeeper import Catalog, Feature, Gatekeeper, Meter, Pack, Plan, Price, Unit

credits = Unit("credits")
overage = Meter("overage", event_name="ai_credits")
catalog = Catalog(
    plans=[
        Plan("free", default=True, grants=[credits.once(5)]),
        Plan(
            "pro",
            includes="free",
            prices=[Price("pro_monthly", amount_minor=999, currency="eur", every="month")],
            features=[Feature("downloads")],
            grants=[credits.every("month", 1_000, overage=overage)],
        ),
    ],
    packs=[
        Pack(
            "pack",
            grants=credits(100),
            price=Price("topup_100", amount_minor=500, currency="eur"),
        )
    ],
)
gate = Gatekeeper(catalog)


@gate.webhooks.on("product.created")
async def note(event):
    with Path("handled").open("a") as handled:
        handled.write(event.id + "\\n")


class Holder:
    gate = gate
"""


@dataclass
class Host:
    """The folder of a host app, and its environment."""

    folder: Path
    env: dict[str, str]
    template: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run `gatekeeper ARGUMENTS`; what it wrote, of both outputs. It ends with `status`.

        It runs in this process, with signals left to pytest; `run_process` is the real thing.
        """
        ended, shown = run_command(
            arguments, folder=self.folder, env=self.env, timeout_seconds=TIMEOUT_SECONDS
        )
        assert ended == status, shown
        return shown

    def run_process(self, *arguments: str, status: int = 0) -> str:
        """`run` in a process of its own, for what is about one."""
        done = subprocess.run(
            [*warm.gatekeeper(), *arguments],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    def migrate(self) -> None:
        """What `gatekeeper db upgrade` does, without a process of its own."""
        url = self.env["GATEKEEPER_DATABASE_URL"]
        shutil.copyfile(self.template, urlsplit(url).path)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `gatekeeper ARGUMENTS` and go on; it ends with the test at the latest."""
        process = subprocess.Popen(
            [*warm.gatekeeper(), *arguments],
            cwd=self.folder,
            env=self.env | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    @property
    def handled(self) -> list[str]:
        """The ids of the events that the host's handler has seen."""
        path = self.folder / "handled"
        return path.read_text().split() if path.exists() else []


def output_of(process: subprocess.Popen[str]) -> IO[str]:
    """The pipe of a process that `Host.start` has started."""
    assert process.stdout is not None
    return process.stdout


@pytest.fixture
def host(tmp_path: Path, sqlite_url: str, sqlite_template: Path) -> Iterator[Host]:
    """A host on an SQLite database that does not exist yet, without a key of Stripe's."""
    folder = tmp_path / "host"
    folder.mkdir()
    (folder / "billing.py").write_text(BILLING)
    foreign = ("GATEKEEPER_", "STRIPE_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    env |= {"COLUMNS": "200", "GATEKEEPER_DATABASE_URL": sqlite_url, "NO_COLOR": "1"}
    made = Host(folder, env, sqlite_template)
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=TIMEOUT_SECONDS)


@dataclass
class StripeProcess:
    """A simulator in a process of its own."""

    url: str
    process: ServerProcess


@pytest.fixture
def stripe_process(tmp_path: Path, free_port: int) -> Iterator[StripeProcess]:
    """`gatekeeper stripe-sim`, running."""
    url = f"http://127.0.0.1:{free_port}"
    process = ServerProcess(
        [*warm.gatekeeper(), "stripe-sim", "--port", str(free_port)],
        log=tmp_path / "stripe-sim.log",
        answers=lambda: _answers(url),
    )
    process.start()
    yield StripeProcess(url, process)
    process.stop()


@pytest.fixture
def stripe_url(stripe_sim_server: ServerThread) -> str:
    """Where a simulator of the test's own is served, in this process."""
    stripe_sim_server.mount(Simulator())
    return stripe_sim_server.url


@pytest.fixture
def stripe_host(host: Host, stripe_url: str) -> Host:
    """The host, with the simulator for its Stripe."""
    host.env |= {"STRIPE_API_BASE": stripe_url, "STRIPE_SECRET_KEY": DEFAULT_API_KEY}
    return host


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/_sim/now").is_success
    except httpx.TransportError:
        return False
