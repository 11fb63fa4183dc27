"""One server process of the tests' own: free ports, waiting for an answer, and a certain end."""

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

LOOPBACK = "127.0.0.1"
START_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 20.0
POLL_SECONDS = 0.01

_REAPER = Path(__file__).with_name("reaper.py")


class ServiceError(RuntimeError):
    """A server that the tests need could not be started, stopped or asked."""


def find_free_port() -> int:
    """A TCP port of the loopback interface that nothing listens on at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


class _Reaper:
    """A process that outlives ours by an instant: it kills the servers and removes the folders
    left.

    It reads `add`, `forget` and `folder` lines from a pipe whose only writer we are, so that it
    sees our end whatever ended us: a clean exit, Ctrl-C, a crash or SIGKILL. (`PR_SET_PDEATHSIG`
    would be simpler, but it follows the *thread* that started the server and exists on Linux
    alone.)"""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def tell(self, word: str, value: object) -> None:
        """Send one line, starting the reaper with the first."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(_REAPER)],
                    stdin=subprocess.PIPE,
                    start_new_session=True,  # Ctrl-C is for pytest; the reaper acts after it
                )
            stdin = self._process.stdin
            assert stdin is not None, "the reaper was started with a pipe"
            stdin.write(f"{word} {value}\n".encode())
            stdin.flush()

    def finish(self) -> None:
        """Close the pipe, so that whatever is left is reaped, and wait for it."""
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(STOP_TIMEOUT_SECONDS)


_reaper = _Reaper()
atexit.register(_reaper.finish)


def make_folder(prefix: str) -> Path:
    """A new folder directly in the system's temporary folder, removed when this process ends.

    pytest's own `tmp_path` will not do for a server that runs as another user: its parents are
    closed to all but their owner."""
    folder = Path(tempfile.mkdtemp(prefix=f"gatekeeper-{prefix}-"))
    _reaper.tell("folder", folder)
    return folder


def remove_folder(folder: Path) -> None:
    """Remove a folder made by `make_folder`."""
    shutil.rmtree(folder, ignore_errors=True)


class ServerProcess:
    """A command that serves until it is stopped or killed, and can be started again.

    `answers` is asked until it returns true; it may raise OSError while the server is not there
    yet. `user` is the system user to run as, or None for our own. The output goes to `log`."""

    def __init__(
        self,
        command: list[str],
        *,
        log: Path,
        answers: Callable[[], bool],
        stop_signal: signal.Signals = signal.SIGTERM,
        user: str | None = None,
    ) -> None:
        self._command = command
        self._log = log
        self._answers = answers
        self._stop_signal = stop_signal
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The id of the living process; ServiceError when there is none."""
        if self._process is None or not self.running:
            raise ServiceError(f"{self._command[0]} is not running")
        return self._process.pid

    def start(self) -> None:
        """Start and wait until it answers; a no-op on a running server, ServiceError with its log
        on failure."""
        if self.running:
            return
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._log.parent,
                start_new_session=True,  # Ctrl-C is for pytest, which then stops us in order
                user=self._user,
                group=_group_of(self._user),
                extra_groups=None if self._user is None else [],
            )
        _reaper.tell("add", self._process.pid)
        self._wait_for_answer(self._process)

    def _wait_for_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                _reaper.tell("forget", process.pid)
                raise ServiceError(
                    f"{self._command[0]} ended with status {process.returncode}:\n{self.log_text()}"
                )
            with contextlib.suppress(OSError):
                if self._answers():
                    return
            time.sleep(POLL_SECONDS)
        self.kill()
        raise ServiceError(
            f"{self._command[0]} gave no answer in {START_TIMEOUT_SECONDS:.0f} s:\n"
            f"{self.log_text()}"
        )

    def stop(self) -> None:
        """Ask it to end and wait; SIGKILL when it does not. A no-op on a stopped server."""
        self._end(self._stop_signal)

    def kill(self) -> None:
        """End it with SIGKILL and wait, as a crash of its machine would. A no-op on a stopped
        server."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_TIMEOUT_SECONDS)
        _reaper.tell("forget", process.pid)
        self._process = None

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Freeze the process (SIGSTOP) for the length of the block: it holds connections and
        answers nothing."""
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def log_text(self) -> str:
        """What the server has written so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""


def _group_of(user: str | None) -> int | None:
    if user is None:
        return None
    import pwd  # here, because Windows has no such module and needs no other user

    return pwd.getpwnam(user).pw_gid
