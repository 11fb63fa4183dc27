"""A program that is forked is as one that was started."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests import warm

PATIENCE_SECONDS = 30
# It holds our end of its output until it is no more.
SPEAKING = "import time; print('here', flush=True); time.sleep(600)"


def run(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [*warm.python(), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return done


def start(program: str) -> subprocess.Popen[str]:
    """Start a program, and wait for its first line."""
    process = subprocess.Popen(
        [*warm.python(), "-c", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    return process


def test_it_has_its_arguments_streams_environment_and_folder(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "print(sys.argv, input(), os.environ['WORD'], os.getcwd())\n"
        "print('beside', file=sys.stderr)\n"
    )
    done = subprocess.run(
        [*warm.python(), "-c", program, "one", "two"],
        input="said\n",
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"WORD": "word"},
        check=False,
    )
    assert done.stdout == f"['-c', 'one', 'two'] said word {tmp_path}\n"
    assert done.stderr == "beside\n"
    assert done.returncode == 0


def test_modules_files_and_commands_run(tmp_path: Path) -> None:
    (tmp_path / "shown.py").write_text("import sys; print(__name__, sys.argv[1:])\n")
    module = run("-m", "shown", "x", folder=tmp_path)
    file = run(str(tmp_path / "shown.py"), "x")
    assert module.stdout == file.stdout == "__main__ ['x']\n"
    named = {"PATH": str(warm.programs())}
    assert subprocess.run(["python", "-c", "1"], env=named, check=False).returncode == 0
    assert subprocess.run(["gatekeeper", "nothing"], env=named, check=False).returncode == 2


@pytest.mark.parametrize(
    ("program", "status", "said"),
    [
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('words')", 1, "words\n"),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
        ("import atexit, sys; atexit.register(print, 'late', file=sys.stderr)", 0, "late\n"),
    ],
)
def test_it_ends_as_the_program_did(program: str, status: int, said: str) -> None:
    done = run("-c", program)
    assert done.returncode == status
    assert said in done.stderr


def test_a_signal_reaches_it() -> None:
    process = start(
        "import signal\n"
        "def end(number, frame): print('heard', flush=True); raise SystemExit(3)\n"
        f"signal.signal(signal.SIGTERM, end)\n{SPEAKING}"
    )
    process.terminate()
    rest, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert (rest, process.returncode) == ("heard\n", 3)
    unprepared = start(SPEAKING)
    unprepared.terminate()
    unprepared.communicate(timeout=PATIENCE_SECONDS)
    assert unprepared.returncode == -signal.SIGTERM


def test_it_is_killed_with_its_client() -> None:
    process = start(SPEAKING)
    process.kill()
    process.communicate(timeout=PATIENCE_SECONDS)


def test_nothing_that_it_started_outlives_it() -> None:
    process = start(
        "import subprocess; subprocess.Popen(['sleep', '600']); print('here', flush=True)"
    )
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
