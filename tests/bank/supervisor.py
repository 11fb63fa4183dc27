"""Keeps workers running: forks them, kills them with SIGKILL at random moments, starts new ones.

    python -m tests.bank.supervisor URL FOLDER --seed 1 --seconds 5

A process with one thread, which has imported everything before it forks: a new worker is there at
once. Its workers end with it, since they hold the other end of its pipe. At the end it asks those
that are left to stop, and writes what became of all in FOLDER/supervisor.json. It goes on until
somebody who watches has written FOLDER/enough, but not for ever.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NoReturn

from tests.bank import worker
from tests.bank.worker import Job

SUMMARY: Final = "supervisor.json"
ENOUGH: Final = "enough"
MORE_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.02
STOP_SECONDS: Final = 60.0


@dataclass(slots=True)
class Summary:
    """What became of the workers. `failed` are those that ended otherwise than told to."""

    started: int = 0
    killed: int = 0
    stopped: int = 0
    failed: tuple[str, ...] = ()


class Supervisor:
    """See the module."""

    def __init__(self, job: Job, lifeline_writer: int) -> None:
        self._job = job
        self._lifeline_writer = lifeline_writer
        self._workers: dict[int, str] = {}
        self.summary = Summary()

    def start(self) -> None:
        """Fork one more worker."""
        self.summary.started += 1
        name = f"worker-{self.summary.started:04}"
        pid = os.fork()
        if pid == 0:
            self._be_worker(name)
        self._workers[pid] = name

    def _be_worker(self, name: str) -> NoReturn:
        status = 1
        try:
            os.close(self._lifeline_writer)
            log = os.open(self._job.folder / f"{name}.log", os.O_WRONLY | os.O_CREAT, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)
            job = self._job
            worker.run(Job(job.url, job.folder, name, job.seed, job.tasks, job.lifeline))
            status = 0
        except BaseException:  # noqa: BLE001 - the log and the status tell of it
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def kill_one(self, rng: random.Random) -> None:
        """SIGKILL a worker at random, and start another."""
        pid = rng.choice(sorted(self._workers))
        self._look()
        if pid in self._workers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            del self._workers[pid]
            self.summary.killed += 1
        self.start()

    def stop(self) -> None:
        """Ask all that are left to stop, and wait for them."""
        self._look()
        for pid in self._workers:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while self._workers and time.monotonic() < deadline:
            self._look(stopping=True)
            time.sleep(POLL_SECONDS)
        for pid, name in self._workers.items():
            self._failed(f"{name} did not stop in {STOP_SECONDS:.0f} s")
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def _look(self, *, stopping: bool = False) -> None:
        """See who has ended."""
        for pid, name in list(self._workers.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._workers[pid]
                code = os.waitstatus_to_exitcode(status)
                if stopping and code in (0, -signal.SIGTERM):  # or it had not begun to listen
                    self.summary.stopped += 1
                else:
                    log = self._job.folder / f"{name}.log"
                    text = log.read_text(errors="replace") if log.exists() else ""
                    self._failed(f"{name} ended with {code}:\n{text}")

    def _failed(self, text: str) -> None:
        self.summary.failed = (*self.summary.failed, text)


def _is_over(passed: float, seconds: float, folder: Path) -> bool:
    """Whether it has been long enough, and enough was done: on a slow machine that takes longer."""
    enough = (folder / ENOUGH).exists() or passed > seconds + MORE_SECONDS
    return passed > seconds and enough


def main() -> None:
    """Run for the time given, and until FOLDER/enough is there."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--tasks", type=int, default=64)
    given = parser.parse_args()

    reader, writer = os.pipe()
    job = Job(given.url, given.folder, "", given.seed, given.tasks, reader)
    supervisor, rng = Supervisor(job, writer), random.Random(given.seed)
    for _ in range(given.workers):
        supervisor.start()
    begin = time.monotonic()
    while not _is_over(time.monotonic() - begin, given.seconds, given.folder):
        # The life of a worker: from its first steps on to some thousand transactions.
        time.sleep(rng.choice((0.2, 0.8, 1.6)) * rng.uniform(0.5, 1.5))
        supervisor.kill_one(rng)
    supervisor.stop()
    (given.folder / SUMMARY).write_text(json.dumps(asdict(supervisor.summary)))


if __name__ == "__main__":
    main()
