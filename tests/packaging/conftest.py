"""One wheel and one fresh environment with it for all tests of the package."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (
    "adapters",
    "CHANGELOG.md",
    "LICENSE",
    "pyproject.toml",
    "README.md",
    "src",
    "uv.lock",
)


# It imports the package once, and then runs each program in a fork.
FORKING = """
import json, os, sys, traceback
import gatekeeper
for line in sys.stdin:
    output, end = os.pipe()
    forked = os.fork()
    if not forked:
        os.dup2(end, 1)
        os.dup2(end, 2)
        status = 0
        try:
            exec(json.loads(line), {})
        except BaseException:
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        os._exit(status)
    os.close(end)
    with open(output) as printed:
        said = printed.read()
    print(json.dumps([os.waitpid(forked, 0)[1], said]), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment that holds the wheel and the dependencies that it declares, nothing else."""

    folder: Path
    forking: subprocess.Popen[str]

    def run(self, program: str, *arguments: str) -> str:
        """Run a program of the environment away from the sources; its output, or a failed test."""
        return run([str(self.folder / "bin" / program), *arguments], cwd=self.folder)

    def python(self, code: str) -> str:
        """Run Python code in the environment, in which the package has been imported; what it
        printed, or a failed test."""
        stdin, stdout = self.forking.stdin, self.forking.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{json.dumps(code)}\n")
        stdin.flush()
        status, said = json.loads(stdout.readline())
        assert status == 0, f"{code} failed:\n{said}"
        return str(said).strip()


def run(command: list[str], *, cwd: Path, **environment: str) -> str:
    """Run a command without our own settings; a failed test with its output when it fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**inherited(), "UV_SYSTEM_CERTS": "1", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,  # its output says more than the exception
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}{done.stderr}"
    return done.stdout


def inherited() -> dict[str, str]:
    """Our environment without our own settings."""
    ours = ("COVERAGE_", "GATEKEEPER_", "PYTHON", "STRIPE_", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def build(kind: str, source: Path, target: Path) -> Path:
    """Build a `wheel` or an `sdist` with the project's own backend; the file that was made."""
    run([sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)], cwd=source)
    (made,) = target.iterdir()
    return made


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the package is built from, so that building leaves nothing in the tree."""
    folder = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def installed(
    source: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    """A fresh environment with the wheel and the locked versions of what it declares."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    uv = _uv()
    # The locked dependencies come out of uv's cache, where the set-up of this very run put them.
    run(
        [uv, "sync", "--frozen", "--no-dev", "--no-install-project", "--python", sys.executable],
        cwd=source,
        UV_PROJECT_ENVIRONMENT=str(folder),
    )
    python = str(folder / "bin" / "python")
    run([uv, "pip", "install", "--python", python, "--no-deps", str(wheel)], cwd=folder)
    run([uv, "pip", "check", "--python", python], cwd=folder)
    forking = subprocess.Popen(
        [python, "-I", "-W", "error", "-c", FORKING],
        cwd=folder,
        env=inherited(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with forking:
        yield Installed(folder, forking)


def _uv() -> str:
    """The uv that set this environment up: on PATH, or where `make` has put it."""
    found = shutil.which("uv") or shutil.which("uv", path=str(ROOT / ".venv-tools" / "bin"))
    assert found, "uv is neither on PATH nor in .venv-tools: set up with `make test`"
    return found
