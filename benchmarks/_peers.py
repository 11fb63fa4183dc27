"""Other libraries, each in a process and an environment of its own.

The environment is the small project in `benchmarks/peers`, with a lock file of its own; uv makes it
on first use, beside that project. The load of a peer runs in the peer's process, as ours does in
ours; threads are its clients, for its calls are synchronous.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks import _program
from benchmarks._gates import CREDITS
from benchmarks._load import CUSTOMERS, Workload
from benchmarks._pace import Pace
from benchmarks._program import Program
from benchmarks._samples import Sample

_ROOT: Final = Path(__file__).parents[1]
_PROJECT: Final = Path(__file__).parent / "peers"
_INTERPRETER: Final = _PROJECT / ".venv/bin/python"
_REDIRECTIONS: Final = ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "PYTHONPATH", "PYTHONHOME")


class PeerError(RuntimeError):
    """A peer could not be installed."""


def environment() -> Path:
    """The python of the peers' environment, which is made or brought up to date.

    Raises:
        PeerError: there is no uv, or it failed.
    """
    uv = shutil.which("uv") or shutil.which("uv", path=str(_ROOT / ".venv-tools/bin"))
    if uv is None:
        raise PeerError("uv is needed to install the peers: pip install uv")
    done = subprocess.run(
        [uv, "sync", "--frozen", "--quiet", "--project", str(_PROJECT)],
        env=clean(os.environ),
        capture_output=True,
        text=True,
        check=False,  # its error text is worth more than the exception's
    )
    if done.returncode:
        raise PeerError(f"uv could not install the peers:\n{done.stderr}")
    return _INTERPRETER


def clean(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment without what would lead a peer's python elsewhere."""
    return {name: value for name, value in variables.items() if name not in _REDIRECTIONS}


class Peer:
    """A peer's side of a comparison; see `peers.threads.serve` for what is said."""

    def __init__(self, program: Program) -> None:
        self.title = program.title
        self._program = program

    def run(self, clients: int, workload: Workload, pace: Pace) -> Sample:
        """Run the load once; the peer checks its own books after it."""
        self._program.ask(
            clients=clients,
            customers=list(workload.customers),
            seconds=pace.seconds,
            warm_up=pace.warm_up,
        )
        return Sample.from_json(self._program.answer())


@contextmanager
def started(
    title: str, module: str, *arguments: str, variables: Mapping[str, str] | None = None
) -> Iterator[Peer]:
    """A peer that has its customers and their credits, and waits for what to do."""
    command = [str(environment()), "-m", f"benchmarks.peers.{module}", *arguments, str(CREDITS)]
    with _program.started(title, command, clean(os.environ) | dict(variables or {})) as program:
        program.say(" ".join(CUSTOMERS))
        program.answer()  # it is ready
        yield Peer(program)
