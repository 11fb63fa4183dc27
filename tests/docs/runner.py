"""Runs a page of the documentation: a process of its own, in a folder of its own.

Run as a script: it reads an `Asked` as JSON from standard input. A failure is an uncaught exception
whose traceback names the page and its line.
"""

import ast
import asyncio
import contextlib
import importlib
import inspect
import io
import json
import linecache
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any, TypedDict

SHELL_TIMEOUT_SECONDS = 60


class Step(TypedDict):
    """One thing to do.

    `kind` is python, shell, file, output or import; `raises` and `name` may be empty.
    """

    kind: str
    code: str
    line: int
    raises: str
    name: str


class Asked(TypedDict):
    """A page to run: its path, and what to do."""

    path: str
    steps: list[Step]


class PageError(Exception):
    """A block of the page did something else than the page says."""


class Page:
    """The one namespace and the one event loop that the blocks of a page share."""

    def __init__(self, path: str, runner: asyncio.Runner) -> None:
        """`path` is the page's, for tracebacks."""
        self._path = path
        self._runner = runner
        # A real module, so that annotations and pickles of what it defines can be resolved.
        self._module = types.ModuleType("__page__")
        self._output = ""
        sys.modules["__page__"] = self._module

    def take(self, step: Step) -> None:
        """Do one step."""
        match step["kind"]:
            case "file":
                self._write(step)
            case "python":
                self._run_python(step)
            case "shell":
                self._run_shell(step)
            case "output":
                self._compare(step)
            case "import":
                importlib.import_module(step["name"])
            case kind:
                raise PageError(f"{self._place(step)}: no such step: {kind}")

    def _place(self, step: Step) -> str:
        return f"{self._path}:{step['line']}"

    def _write(self, step: Step) -> None:
        target = Path(step["name"])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(step["code"])
        if target.suffix == ".py":
            compile(step["code"], f"{self._path} ({target})", "exec")

    def _run_python(self, step: Step) -> None:
        # Empty lines in front, so that tracebacks name the page's own lines.
        source = "\n" * (step["line"] - 1) + step["code"]
        name = f"{self._path}"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        code = compile(source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                result: Any = types.FunctionType(code, self._module.__dict__)()
                if inspect.iscoroutine(result):
                    self._runner.run(result)
        except Exception as error:
            if type(error).__name__ != step["raises"]:
                raise
        else:
            if step["raises"]:
                raise PageError(f"{self._place(step)}: it did not raise {step['raises']}")
        finally:
            self._output = printed.getvalue()

    def _run_shell(self, step: Step) -> None:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", step["code"]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SHELL_TIMEOUT_SECONDS,
            check=False,  # its output goes into our own error
        )
        if done.returncode:
            raise PageError(f"{self._place(step)}: status {done.returncode}:\n{done.stdout}")
        self._output = done.stdout

    def _compare(self, step: Step) -> None:
        if not matches(step["code"], self._output):
            shown = f"shown:\n{step['code']}\nprinted:\n{self._output}"
            raise PageError(f"{self._place(step)}: the output is another\n{shown}")


def matches(shown: str, printed: str) -> bool:
    """Whether a text is what the page shows; a line `...` stands for any lines, even none."""
    return _match(shown.strip().splitlines(), printed.strip().splitlines())


def _match(shown: list[str], printed: list[str]) -> bool:
    if not shown:
        return not printed
    if shown[0].strip() == "...":
        return any(_match(shown[1:], printed[start:]) for start in range(len(printed) + 1))
    return (
        bool(printed)
        and shown[0].rstrip() == printed[0].rstrip()
        and _match(shown[1:], printed[1:])
    )


def main() -> None:
    """Take the steps of the page that standard input tells of."""
    asked: Asked = json.load(sys.stdin)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    sys.path[0] = ""  # the page's own files can be imported
    with asyncio.Runner() as runner:
        page = Page(asked["path"], runner)
        for step in asked["steps"]:
            page.take(step)


if __name__ == "__main__":
    main()
