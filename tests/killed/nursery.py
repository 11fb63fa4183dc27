"""Where the processes come from that are to be killed."""

import subprocess
import sys
from types import TracebackType
from typing import Self

import msgspec

from tests.killed.process import Job


class Nursery:
    """A program that has imported all they need, and forks one for each job."""

    def __enter__(self) -> Self:
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.killed.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._program as program:
            assert program.stdin is not None
            program.stdin.close()  # which ends it

    def run(self, job: Job) -> int:
        """Run a process to its end; how it ended, a signal below zero. One that hangs is ended by
        its own alarm."""
        stdin, stdout = self._program.stdin, self._program.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{msgspec.json.encode(job).decode()}\n")
        stdin.flush()
        return int(stdout.readline())
