"""`python -m tests.faults [name ...]`: whether the tests catch each fault; `--list` names them all.

It ends with 1 if one is not caught, and with 2 if one could not be tried.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.faults.fault import Fault
from tests.faults.running import Outcome, Verdict, run
from tests.services.postgres import URL_VARIABLE, PrivatePostgres


def main(arguments: Sequence[str], faults: Sequence[Fault]) -> int:
    """Run the command on those of `faults` that the arguments name; returns its exit code."""
    by_name = {fault.name: fault for fault in faults}
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("name", nargs="*", help="a fault; all of them without a name")
    parser.add_argument("--list", action="store_true", help="name the faults and run nothing")
    asked = parser.parse_args(arguments)
    if unknown := sorted(set(asked.name) - by_name.keys()):
        parser.error(f"there is no fault {', '.join(unknown)}; --list names them")
    wanted = [by_name[name] for name in asked.name] or list(faults)
    if asked.list:
        for fault in wanted:
            print(f"{fault.name:36}  {fault.file}: {fault.breaks}")
        return 0
    return _run_all(wanted)


def _run_all(faults: Sequence[Fault]) -> int:
    verdicts: list[Verdict] = []
    with _server_for(faults) as url:
        for fault in faults:
            verdicts.append(run(fault, postgres_url=url))
            _tell(verdicts[-1])
    counts = {one: sum(verdict.outcome is one for verdict in verdicts) for one in Outcome}
    print(", ".join(f"{count} {one.value}" for one, count in counts.items() if count))
    if counts[Outcome.ERROR]:
        return 2
    return 1 if counts[Outcome.NOT_CAUGHT] else 0


@contextmanager
def _server_for(faults: Sequence[Fault]) -> Iterator[str | None]:
    """One PostgreSQL for all runs, in which each has databases of its own; None if there is one
    in the environment, or none is needed: the engine knows no database."""
    pure = all(test.startswith("tests/ledger/") for fault in faults for test in fault.tests)
    if pure or os.environ.get(URL_VARIABLE):
        yield None
        return
    private = PrivatePostgres()
    try:
        private.start()
        yield private.url
    finally:
        private.dispose()


def _tell(verdict: Verdict) -> None:
    fault = verdict.fault
    print(
        f"{verdict.outcome.value:10}  {verdict.seconds:5.1f} s  {fault.name:36}  "
        f"{verdict.test or fault.breaks}",
        flush=True,
    )
    if verdict.outcome is Outcome.ERROR:
        print(verdict.detail, file=sys.stderr, flush=True)
