"""The `gatekeeper` command without a process of its own: its start takes longer than most tests."""

import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import Context
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest

from gatekeeper.cli import main


def run_command(
    arguments: Sequence[str], *, folder: Path, env: Mapping[str, str], timeout_seconds: float
) -> tuple[int, str]:
    """Run `gatekeeper ARGUMENTS` in a folder; its exit status, and what it wrote, of both outputs.

    It finds what a process finds: the folder, the environment, an empty standard input, no
    terminal, no module of the folder imported yet, logging not set up. What it changes of these is
    undone. Warnings stay what they are in the tests: errors.

    It has a thread of its own, because the caller may be in an event loop, which stands still
    meanwhile; so signals don't reach it.
    """
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    statuses: list[int] = []
    thread = threading.Thread(
        target=Context().run, args=(lambda: statuses.append(_status_of_main()),), daemon=True
    )
    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, env, clear=True))
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(_logging_not_set_up())
        stack.enter_context(_nothing_imported_from(folder))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["gatekeeper", *arguments])
        patch.setattr(sys, "stdin", io.StringIO())
        patch.setattr(sys, "stdout", output)
        patch.setattr(sys, "stderr", output)
        patch.setattr(sys, "excepthook", sys.__excepthook__)  # typer puts its own there
        thread.start()
        thread.join(timeout_seconds)
        assert not thread.is_alive(), f"gatekeeper {arguments} goes on after {timeout_seconds} s"
    buffer = output.detach()
    assert isinstance(buffer, io.BytesIO)
    return statuses[0], buffer.getvalue().decode()


def _status_of_main() -> int:
    """What the entry point does: `sys.exit(main())`; and what the interpreter does at its end."""
    try:
        main()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException as error:  # noqa: BLE001 -- the interpreter shows whatever comes
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


@contextmanager
def _nothing_imported_from(folder: Path) -> Iterator[None]:
    """Whatever is imported from a folder is new, and forgotten at the end.

    Modules of the same names, of other tests, are set aside meanwhile.
    """
    names = {path.stem for path in folder.iterdir()}
    aside = {name: sys.modules.pop(name) for name in names & sys.modules.keys()}
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path])
        patch.setattr(sys, "dont_write_bytecode", True)  # a file may change within its second
        try:
            yield
        finally:
            for name in sys.modules.keys() - before:
                if _is_of(sys.modules[name], folder):
                    del sys.modules[name]
            sys.modules.update(aside)
            sys.path_importer_cache.pop(str(folder), None)


def _is_of(module: ModuleType, folder: Path) -> bool:
    path = vars(module).get("__file__")
    return path is not None and Path(path).is_relative_to(folder)


@contextmanager
def _logging_not_set_up() -> Iterator[None]:
    """No handler of the root logger's, pytest's neither; all loggers as before at the end."""
    root = logging.getLogger()
    named = [one for one in root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    before = [(one, one.level, [*one.handlers]) for one in (root, *named)]
    root.handlers.clear()
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level, handlers in before:
            logger.setLevel(level)
            logger.handlers[:] = handlers
