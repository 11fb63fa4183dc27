"""Programs of their own in a comparison: each is asked by a line, and answers with one."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

_ROOT: Final = Path(__file__).parents[1]
_PATIENCE_SECONDS: Final = 30


class ProgramError(RuntimeError):
    """A program ended before it was told to."""


class Program:
    """One that was started by `started`."""

    def __init__(self, title: str, process: "subprocess.Popen[str]") -> None:
        self.title = title
        self._process = process

    def say(self, line: str) -> None:
        """Tell it a line."""
        print(line, file=_pipe(self._process.stdin), flush=True)

    def ask(self, **what: Any) -> None:
        """Tell it what to do; `answer` tells what came of it."""
        self.say(json.dumps(what))

    def answer(self) -> str:
        """Its next line.

        Raises:
            ProgramError: it has ended.
        """
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise ProgramError(f"{self.title} ended with status {self._process.wait()}")
        return line

    def stop(self) -> None:
        """Let it see the end of its input; one that does not end by that is killed."""
        _pipe(self._process.stdin).close()
        try:
            self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _pipe(self._process.stdout).close()


@contextmanager
def started(
    title: str, command: Sequence[str], variables: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """A program that runs in the project's folder until the block ends; `variables` are its whole
    environment, in place of ours."""
    process = subprocess.Popen(
        command,
        cwd=_ROOT,
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    program = Program(title, process)
    try:
        yield program
    finally:
        program.stop()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None, "the process was started with pipes"
    return pipe
