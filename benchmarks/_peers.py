"""Other libraries, each in a process and an environment of its own.

The environment is the small project in `benchmarks/peers`, with a lock file of its own; uv makes it
on first use, beside that project. The load of a peer runs in the peer's process, as ours does in
ours; threads are its clients, for its calls are synchronous.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from benchmarks._gates import CREDITS
from benchmarks._load import CUSTOMERS, Workload
from benchmarks._pace import Pace
from benchmarks._samples import Sample

_ROOT: Final = Path(__file__).parents[1]
_PROJECT: Final = Path(__file__).parent / "peers"
_INTERPRETER: Final = _PROJECT / ".venv/bin/python"
_REDIRECTIONS: Final = ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "PYTHONPATH", "PYTHONHOME")


class PeerError(RuntimeError):
    """A peer could not be installed, or did not answer."""


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
        env=_clean(os.environ),
        capture_output=True,
        text=True,
        check=False,  # its error text is worth more than the exception's
    )
    if done.returncode:
        raise PeerError(f"uv could not install the peers:\n{done.stderr}")
    return _INTERPRETER


def _clean(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name not in _REDIRECTIONS}


class Peer:
    """A peer's side of a comparison; see `peers.threads.serve` for what is said."""

    def __init__(self, title: str, process: "subprocess.Popen[str]") -> None:
        self.title = title
        self._process = process

    def run(self, clients: int, workload: Workload, pace: Pace) -> Sample:
        """Run the load once; the peer checks its own books after it."""
        asked = {
            "clients": clients,
            "customers": list(workload.customers),
            "seconds": pace.seconds,
            "warm_up": pace.warm_up,
        }
        print(json.dumps(asked), file=_pipe(self._process.stdin), flush=True)
        return Sample.from_json(self.answer())

    def answer(self) -> str:
        """Its next line.

        Raises:
            PeerError: it has ended.
        """
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise PeerError(f"{self.title} ended with status {self._process.wait()}")
        return line


@contextmanager
def started(
    title: str, module: str, *arguments: str, variables: Mapping[str, str] | None = None
) -> Iterator[Peer]:
    """A peer that has its customers and their credits, and waits for what to do."""
    process = subprocess.Popen(
        [str(environment()), "-m", f"benchmarks.peers.{module}", *arguments, str(CREDITS)],
        cwd=_ROOT,
        env=_clean(os.environ) | dict(variables or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        print(*_names(), file=_pipe(process.stdin), flush=True)
        peer = Peer(title, process)
        peer.answer()  # it is ready
        yield peer
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            _pipe(pipe).close()


def _names() -> Sequence[str]:
    return CUSTOMERS


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None, "the process was started with pipes"
    return pipe
