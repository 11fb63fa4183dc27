"""Turning a page of the documentation into steps: what is run, what is checked, what is refused."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tests import warm
from tests.docs import shell
from tests.docs.markdown import Block, DocsError, read_blocks
from tests.docs.runner import Asked, Step

RUNNER = Path(__file__).with_name("runner.py")
PAGE_TIMEOUT_SECONDS = 100
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
SHELLS = frozenset({"bash", "console", "sh", "shell"})
DIRECTIVE_OF = {"output": "text", "raises": "python", "run": "shell"}
# What a page's process may see of ours; nothing that sets us up, nor what measures coverage, whose
# warnings would mix with what a command prints.
INHERITED = ("LANG", "LC_", "PATH", "SSL_CERT", "TMPDIR", "TZ")


@dataclass(slots=True)
class Plan:
    """What is to be done for one page: its steps, and the environment that it asks for."""

    steps: list[Step] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    # The page's own modules, imported at the end, so that each has run even if no block needs it.
    imports: list[Step] = field(default_factory=list)


def plan_page(path: Path, *, lookup: Callable[[str], str]) -> Plan:
    """Read a page and check what is not run; DocsError on a block that nothing would check.

    `lookup` gives the value of a placeholder in an `env` directive: `{postgres_url}`.
    """
    plan = Plan()
    for block in read_blocks(path.read_text(), path.name):
        try:
            for used in block.values("uses"):
                _use_files(plan, path.parent / used)
            for assignment in block.values("env"):
                _add_env(plan, assignment, lookup)
            _add_block(plan, block)
        except (DocsError, ValueError) as error:
            raise DocsError(f"{path.name}:{block.line}: {error}") from error
    plan.steps += plan.imports
    return plan


def run_page(path: Path, plan: Plan, folder: Path) -> None:
    """Take the steps of a page in `folder`; DocsError with the traceback when one fails.

    Nothing that the page has started outlives it.
    """
    inherited = {name: value for name, value in os.environ.items() if name.startswith(INHERITED)}
    scripts = str(Path(sys.executable).parent)
    environment = inherited | {
        "HOME": str(folder),
        "PATH": os.pathsep.join([str(warm.programs()), scripts, inherited.get("PATH", os.defpath)]),
        **plan.env,
    }
    asked: Asked = {"path": str(path), "steps": plan.steps}
    try:
        done = subprocess.run(
            [*warm.python(), str(RUNNER)],
            input=json.dumps(asked),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            text=True,
            timeout=PAGE_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DocsError(f"{path} takes more than {error.timeout} s:\n{error.output}") from None
    if done.returncode:
        raise DocsError(f"{path} fails:\n{done.stdout}")


def _use_files(plan: Plan, other: Path) -> None:
    """Write the files that another page shows, as if they stood here."""
    for block in read_blocks(other.read_text(), other.name):
        if block.has("file"):
            _add_file(plan, block)


def _add_env(plan: Plan, assignment: str, lookup: Callable[[str], str]) -> None:
    name, equals, value = assignment.partition("=")
    if not equals:
        raise DocsError(f"<!-- env: {assignment} --> has no NAME=value")
    shell.check_setting(name)
    plan.env[name] = PLACEHOLDER.sub(lambda match: lookup(match.group(1)), value)


def _add_file(plan: Plan, block: Block) -> None:
    name = block.values("file")[0]
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise DocsError(f"{name} is outside of the page's folder")
    plan.files[name] = block.code
    plan.steps.append(_step("file", block, name=name))


def _add_block(plan: Plan, block: Block) -> None:
    _check_directives(block)
    if block.has("file"):
        _add_file(plan, block)
        name = PurePosixPath(block.values("file")[0])
        if name.suffix == ".py":
            module = ".".join(name.with_suffix("").parts)
            plan.imports.append(
                Step(kind="import", code="", line=block.line, raises="", name=module)
            )
    elif block.language == "python":
        plan.steps.append(_step("python", block, raises="".join(block.values("raises"))))
    elif block.language in SHELLS:
        _add_shell(plan, block)
    elif block.language == "text":
        if block.has("output"):
            plan.steps.append(_step("output", block))
    elif block.language == "json":
        json.loads(block.code)
    elif block.language == "toml":
        tomllib.loads(block.code)
    elif block.language in {"dotenv", "env"}:
        _check_env_file(block.code)
    else:
        raise DocsError(f"nothing checks a block of `{block.language}`; mark it `text`")


def _check_directives(block: Block) -> None:
    """A directive before a block that it says nothing about would be a check that nobody makes."""
    kind = "shell" if block.language in SHELLS else block.language
    for word, _ in block.directives:
        if DIRECTIVE_OF.get(word, kind) != kind or (word in DIRECTIVE_OF and block.has("file")):
            raise DocsError(f"<!-- {word} --> says nothing about this block")


def _add_shell(plan: Plan, block: Block) -> None:
    """A `console` block has `$ ` before each command; the lines between are what it printed."""
    if block.language != "console":
        if block.has("run"):
            plan.steps.append(_step("shell", block))
        else:
            shell.check(block.code, plan.files)
        return
    for line, command, output in _console_commands(block):
        one = Block("bash", command, line)
        if block.has("run"):
            plan.steps.append(_step("shell", one))
            plan.steps.append(_step("output", Block("text", output, line + 1)))
        elif output.strip():
            raise DocsError(f"the output of `{command.strip()}` is not checked: run it, or `text`")
        else:
            shell.check(command, plan.files)


def _console_commands(block: Block) -> list[tuple[int, str, str]]:
    """The line, the command and the output of each prompt of a `console` block."""
    found: list[tuple[int, str, str]] = []
    for offset, line in enumerate(block.code.splitlines(keepends=True)):
        if line.startswith("$ "):
            found.append((block.line + offset, line.removeprefix("$ "), ""))
        elif not found:
            raise DocsError("a console block begins with a `$ ` prompt")
        elif not found[-1][2] and found[-1][1].endswith("\\\n"):
            found[-1] = (found[-1][0], found[-1][1] + line, "")
        else:
            found[-1] = (*found[-1][:2], found[-1][2] + line)
    return found


def _check_env_file(code: str) -> None:
    for line in code.splitlines():
        name, equals, _ = line.partition("=")
        if line.strip() and not line.lstrip().startswith("#"):
            if not equals:
                raise DocsError(f"`{line}` is no NAME=value")
            shell.check_setting(name.strip())


def _step(kind: str, block: Block, *, raises: str = "", name: str = "") -> Step:
    return Step(kind=kind, code=block.code, line=block.line, raises=raises, name=name)
