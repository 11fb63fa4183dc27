"""The last guard: kills the servers and removes the folders of a test run that has ended.

Run as a script by `process._Reaper`. It reads lines from standard input until that closes, which
happens when the test process has ended, however it did:

    add PID        a server was started
    forget PID     it has ended; its id may be used by somebody else now
    folder PATH    a folder in the system's temporary folder, to be removed at the end
"""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

REMOVE_TIMEOUT_SECONDS = 5.0


def main() -> None:
    """Collect until the pipe closes, then clean up."""
    pids: list[int] = []
    folders: list[Path] = []
    for line in sys.stdin:
        word, _, value = line.rstrip("\n").partition(" ")
        if word == "add":
            pids.append(int(value))
        elif word == "forget" and int(value) in pids:
            pids.remove(int(value))
        elif word == "folder":
            folders.append(Path(value))
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for folder in folders:
        if folder.parent == Path(tempfile.gettempdir()) and folder.name.startswith("gatekeeper-"):
            _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder, again and again while PostgreSQL's last children (which SIGKILL of their
    parent ends only a moment later) still write into it.
    """
    deadline = time.monotonic() + REMOVE_TIMEOUT_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.01)


if __name__ == "__main__":
    main()
