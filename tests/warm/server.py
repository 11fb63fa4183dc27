"""Imports the library once, and forks a process for each program that a client asks for.

Run as a script with the path of the socket to listen on; it ends with its standard input. It has
one thread, so that it may fork.
"""

import atexit
import gc
import importlib
import io
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

# What the programs would import one by one; nothing of what they may have in another version of
# their own, as the examples.
PRELOADED = """
    alembic.command asyncpg fastapi gatekeeper gatekeeper.cli gatekeeper.testing.stripe
    gatekeeper_fastapi gatekeeper_starlette httpx  sqlalchemy.dialects.postgresql
    sqlalchemy.dialects.sqlite starlette.testclient stripe uvicorn uvicorn.lifespan.on
    uvicorn.protocols.http.auto uvicorn.protocols.websockets.auto
"""


class Server:
    """The programs that run, each with the connection to its client."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._clients: dict[int, socket.socket] = {}
        ended, self._wakeup = os.pipe()
        self._pipes = (ended, self._wakeup)
        os.set_blocking(self._wakeup, False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        for readable, what in ((listener, "client"), (ended, "child"), (0, "end")):
            self._selector.register(readable, selectors.EVENT_READ, what)

    def serve(self) -> dict[str, Any] | None:
        """Serve until standard input ends (None), or, in the process of a program, what it is."""
        while True:
            for key, _ in self._selector.select():
                match key.data:
                    case "client":
                        asked = self._start()
                        if asked is not None:
                            return asked
                    case "child":
                        os.read(self._pipes[0], 512)
                        self._reap()
                    case "end":
                        for pid in self._clients:
                            _kill_group(pid)
                        return None
                    case int(pid):
                        self._hear(pid)

    def _start(self) -> dict[str, Any] | None:
        """Fork for a client; what it asked for, in the new process."""
        client, _ = self._listener.accept()
        line, streams, _, _ = socket.recv_fds(client, 65_536, 3)
        while line and not line.endswith(b"\n"):
            line += client.recv(65_536)
        pid = os.fork()
        if not pid:
            os.setpgid(0, 0)
            client.close()
            self._forget()
            asked: dict[str, Any] = json.loads(line)
            return asked | {"streams": streams}
        with suppress(OSError):  # it has done so itself already
            os.setpgid(pid, pid)
        self._clients[pid] = client
        self._selector.register(client, selectors.EVENT_READ, pid)
        for stream in streams:
            os.close(stream)
        return None

    def _forget(self) -> None:
        """In the process of a program: nothing of the server is left."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for connection in (self._listener, *self._clients.values()):
            connection.close()
        for end in self._pipes:
            os.close(end)

    def _reap(self) -> None:
        """Tell the clients of programs that have ended."""
        while self._clients:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is None:
                return
            _kill_group(found.si_pid)  # before its number may be another's
            _, status = os.waitpid(found.si_pid, 0)
            client = self._clients.pop(found.si_pid)
            with suppress(KeyError):  # it has gone before
                self._selector.unregister(client)
            with suppress(OSError):
                client.sendall(b"%d" % os.waitstatus_to_exitcode(status))
            client.close()

    def _hear(self, pid: int) -> None:
        """A signal for a program, or the end of its client, which is the program's."""
        client = self._clients.get(pid)
        if client is None:
            return  # it has ended in this round
        numbers = b""
        with suppress(ConnectionError):
            numbers = client.recv(16)
        if not numbers:
            self._selector.unregister(client)
            _kill_group(pid)
        for number in numbers:
            os.kill(pid, number)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # the second: only zombies, on macOS
        os.killpg(pid, signal.SIGKILL)


def become(asked: dict[str, Any]) -> None:
    """Be the program, as the interpreter that was asked to run it would."""
    for stream, given in enumerate(asked["streams"]):
        os.dup2(given, stream)
        os.close(given)
    os.environ.clear()
    os.environ.update(asked["environment"])
    time.tzset()
    os.chdir(asked["folder"])
    is_unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
    sys.stdout = _output(is_unbuffered)
    kind, *arguments = asked["arguments"]
    if kind == "-m":
        sys.argv, sys.path[0] = arguments, asked["folder"]
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv, sys.path[0] = ["-c", *arguments[1:]], ""
        exec(compile(arguments[0], "<string>", "exec"), vars(sys.modules["__main__"]))
    elif kind.startswith("-"):
        sys.exit(f"no such option here: {kind}")
    else:
        sys.argv, sys.path[0] = [kind, *arguments], str(Path(kind).resolve().parent)
        runpy.run_path(kind, run_name="__main__")


def _output(is_unbuffered: bool) -> io.TextIOWrapper:
    raw = io.FileIO(1, "w", closefd=False)
    buffer: Any = raw if is_unbuffered else io.BufferedWriter(raw)
    return io.TextIOWrapper(
        buffer, sys.stdout.encoding, sys.stdout.errors, write_through=is_unbuffered
    )


def run(asked: dict[str, Any]) -> NoReturn:
    """Be the program until its end, which is that of an interpreter but for one thing: what was
    imported is not taken apart, as that would have to copy all the memory that is shared."""
    status = 0
    try:
        try:
            become(asked)
        finally:
            threading._shutdown()  # type: ignore[attr-defined]
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:  # noqa: BLE001 -- the interpreter shows whatever comes
        sys.excepthook(type(error), error, error.__traceback__)
        status = 130 if isinstance(error, KeyboardInterrupt) else 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status & 0xFF)


def main() -> None:
    """Serve, and be a program in each fork."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen(64)
    for module in PRELOADED.split():
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    asked = Server(listener).serve()
    if asked is not None:
        run(asked)


if __name__ == "__main__":
    main()
