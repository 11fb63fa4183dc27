"""Programs of the library's, without the second that each takes to import it.

`python()` is the beginning of a command, as `[sys.executable]` is:
`subprocess.run([*python(), "-m", "examples.shop"])`. What is started is a small client
(`client.py`) that hands its arguments, folder, environment and standard streams to a server
(`server.py`), which has imported everything and forks a process for it. The client passes signals
on, and ends as the program did. `gatekeeper()` is the same for our command, and `programs()` a
folder for PATH that has both.

A program runs in a process and a process group of its own. Nothing of its group outlives it; if the
client is killed, or we are, so is the program with its group.
"""

import atexit
import os
import shlex
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from tests.services.process import make_folder

COMMAND = Path(sys.executable).with_name("gatekeeper")
"""The command as it is installed: a file of Python."""

_CLIENT = Path(__file__).with_name("client.py")
_SERVER = Path(__file__).with_name("server.py")
_FOREIGN = ("COVERAGE_", "GATEKEEPER_", "STRIPE_")
_STOP_SECONDS = 20


def python() -> list[str]:
    """The beginning of a command that takes `-m MODULE`, `-c PROGRAM` or a file, and arguments."""
    # With -I and -S the client imports nothing that it does not need.
    return [sys.executable, "-I", "-S", str(_CLIENT), str(_server() / "socket")]


def gatekeeper() -> list[str]:
    """The beginning of a command of `gatekeeper`."""
    return [*python(), str(COMMAND)]


@cache
def programs() -> Path:
    """A folder with `python` and `gatekeeper`."""
    folder = _server() / "bin"
    folder.mkdir()
    for command in (python, gatekeeper):
        program = folder / command.__name__
        program.write_text(f'#!/bin/sh\nexec {shlex.join(command())} "$@"\n')
        program.chmod(0o755)
    return folder


@cache
def _server() -> Path:
    """The folder of the one server of this process, which ends with us, however we do."""
    folder = make_folder("warm")
    environment = {k: value for k, value in os.environ.items() if not k.startswith(_FOREIGN)}
    process = subprocess.Popen(
        [sys.executable, str(_SERVER), str(folder / "socket")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,  # Ctrl-C is for pytest
    )

    def stop() -> None:
        assert process.stdin is not None
        process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        with process:
            process.kill()

    atexit.register(stop)
    assert process.stdout is not None
    said = process.stdout.readline()
    assert said == b"ready\n", "the server of warm processes did not start"
    return folder
