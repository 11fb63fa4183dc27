"""Checking shell lines that the documentation shows and its tests do not run.

A line passes when what it names exists: a target of the Makefile, a command and its options of
`gatekeeper`, a distribution and its extras, a setting of `.env.example`, a module of the same page.
A line of another kind is an error: its block must be run (`<!-- run -->`) or be `text`.
"""

import ast
import functools
import re
import shlex
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from typer.testing import CliRunner

from gatekeeper.cli import app
from tests.docs.markdown import DocsError

ROOT = Path(__file__).parents[2]
ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[([A-Za-z0-9_,-]+)\])?(?:[<>=!~].*)?")
# Not settings of ours, but fair to show.
FOREIGN_VARIABLES = frozenset({"CI", "PATH"})


def commands(code: str) -> list[list[str]]:
    """The words of each simple command of a shell text; DocsError on pipes and the like."""
    found: list[list[str]] = []
    for line in code.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in lexer:
            if word in {"&&", ";"}:
                found.append(words)
                words = []
            elif set(word) <= set("();<>|&"):
                raise DocsError(f"`{line.strip()}` has a `{word}`, which can only be run")
            else:
                words.append(word)
        found.append(words)
    return [words for words in found if words]


def check(code: str, files: Mapping[str, str]) -> None:
    """Check every command of a shell text; `files` are the files that the page has shown so far."""
    for words in commands(code):
        rest = list(words)
        while rest and (match := ASSIGNMENT.fullmatch(rest[0])):
            check_setting(match.group(1))
            rest.pop(0)
        if rest:
            _check_command(rest, files)


def check_setting(name: str) -> None:
    """DocsError unless a variable is a setting that `.env.example` shows."""
    if name not in FOREIGN_VARIABLES and name not in _known_settings():
        raise DocsError(f"{name} is no setting of .env.example")


def _check_command(words: list[str], files: Mapping[str, str]) -> None:
    if words[0] == "uv" and words[1:2] == ["run"]:
        words = words[2:]
    if words[:3] == ["python", "-m", "pip"]:
        words = words[2:]
    if words[:2] == ["uv", "pip"]:
        words = words[1:]
    checker = _CHECKERS.get(words[0]) if words else None
    if checker is None:
        shown = shlex.join(words)
        raise DocsError(f"`{shown}` cannot be checked: mark its block `<!-- run -->` or `text`")
    checker(words, files)


def _check_make(words: list[str], _files: Mapping[str, str]) -> None:
    known = _make_targets()
    for word in words[1:]:
        if not ASSIGNMENT.fullmatch(word) and word not in known:
            raise DocsError(f"the Makefile has no target `{word}`")


def _check_install(words: list[str], _files: Mapping[str, str]) -> None:
    if words[1:2] not in (["add"], ["install"]):
        raise DocsError(f"`{shlex.join(words)}`: only `add` and `install` can be checked")
    name, extras = _project()
    for word in words[2:]:
        if word.startswith("-"):
            continue
        match = REQUIREMENT.fullmatch(word)
        if match is None:
            raise DocsError(f"`{word}` names no distribution")
        if match.group(1) not in _locked_distributions():
            raise DocsError(f"`{match.group(1)}` is not among the distributions of uv.lock")
        asked = set((match.group(2) or "").split(",")) - {""}
        if match.group(1) == name and asked - extras:
            raise DocsError(f"{name} has no extra {sorted(asked - extras)}")


def _check_gatekeeper(words: list[str], _files: Mapping[str, str]) -> None:
    positional = []
    for word in words[1:]:
        if word.startswith("-"):
            break
        positional.append(word)
    text = _gatekeeper_help(tuple(positional))
    for word in words[1 + len(positional) :]:
        option = word.partition("=")[0]
        if option.startswith("-") and not re.search(rf"(?<!\S){re.escape(option)}(?![\w-])", text):
            raise DocsError(f"`{shlex.join(words)}`: there is no option {option}")


def _check_server(words: list[str], files: Mapping[str, str]) -> None:
    target = next((word for word in words[1:] if re.fullmatch(r"[\w.]+:[\w.]+", word)), None)
    if target is None:
        raise DocsError(f"`{shlex.join(words)}` names no `module:app`")
    module, _, name = target.partition(":")
    source = _source(f"{module.replace('.', '/')}.py", files)
    if name.partition(".")[0] not in _top_level_names(source):
        raise DocsError(f"`{shlex.join(words)}`: {module} has no `{name}`")


def _check_python(words: list[str], files: Mapping[str, str]) -> None:
    if len(words) < 2 or words[1].startswith("-"):
        raise DocsError(f"`{shlex.join(words)}`: only a file of the page can be checked")
    if not (ROOT / words[1]).is_dir():
        _source(words[1], files)


def _check_copy(words: list[str], files: Mapping[str, str]) -> None:
    _source(words[1] if len(words) > 1 else "", files)


def _check_export(words: list[str], _files: Mapping[str, str]) -> None:
    for word in words[1:]:
        check_setting(word.partition("=")[0])


def _check_clone(words: list[str], _files: Mapping[str, str]) -> None:
    if words[1:2] != ["clone"]:
        raise DocsError(f"`{shlex.join(words)}`: only `git clone` can be checked")


def _check_nothing(_words: list[str], _files: Mapping[str, str]) -> None:
    """There is nothing that the words could get wrong."""


_CHECKERS: dict[str, Callable[[list[str], Mapping[str, str]], None]] = {
    "cd": _check_nothing,
    "cp": _check_copy,
    "export": _check_export,
    "gatekeeper": _check_gatekeeper,
    "git": _check_clone,
    "hypercorn": _check_server,
    "make": _check_make,
    "pip": _check_install,
    "python": _check_python,
    "uv": _check_install,
    "uvicorn": _check_server,
}


def _source(path: str, files: Mapping[str, str]) -> str:
    """The text of a file that the page has shown, or else of one of the repository."""
    if path in files:
        return files[path]
    if path and (ROOT / path).is_file():
        return (ROOT / path).read_text()
    raise DocsError(f"there is no file `{path}`, neither on this page nor in the repository")


def _top_level_names(source: str) -> set[str]:
    names: set[str] = set()
    for statement in ast.parse(source).body:
        match statement:
            case ast.Assign(targets=targets):
                names.update(target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.ClassDef(name=name):
                names.add(name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names.update(alias.asname or alias.name for alias in aliases)
            case _:
                pass
    return names


@functools.cache
def _make_targets() -> frozenset[str]:
    text = (ROOT / "Makefile").read_text()
    return frozenset(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))


@functools.cache
def _project() -> tuple[str, frozenset[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["name"], frozenset(project["optional-dependencies"])


@functools.cache
def _locked_distributions() -> frozenset[str]:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    return frozenset(package["name"] for package in lock["package"])


@functools.cache
def _known_settings() -> frozenset[str]:
    path = ROOT / ".env.example"
    if not path.is_file():
        raise DocsError("there is no .env.example to find settings in")
    return frozenset(re.findall(r"^#?\s*([A-Z][A-Z0-9_]*)=", path.read_text(), re.MULTILINE))


@functools.cache
def _gatekeeper_help(words: tuple[str, ...]) -> str:
    """What `gatekeeper WORDS --help` prints; DocsError when there is no such command."""
    # In this process: as a program each would import all of the library again.
    plain = {"COLUMNS": "300", "NO_COLOR": "1", "TERM": "dumb"}
    asked = CliRunner().invoke(app, [*words, "--help"], prog_name="gatekeeper", env=plain)
    if asked.exit_code:
        raise DocsError(f"`gatekeeper {shlex.join(words)}` is refused:\n{asked.output}")
    return asked.stdout
