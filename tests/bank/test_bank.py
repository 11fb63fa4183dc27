"""The concurrent bank: four processes of 64 tasks on one database, killed throughout."""

import asyncio
import json
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from gatekeeper.testing.clock import ManualClock
from gatekeeper.types import utc_now
from tests.bank.checker import check, report
from tests.bank.journal import read_journals
from tests.bank.opening import open_bank
from tests.bank.reading import backends, execute, is_sqlite, read_at_one_moment
from tests.bank.shop import new_gate
from tests.bank.supervisor import ENOUGH, SUMMARY
from tests.services.process import ServerProcess

pytestmark = [pytest.mark.anyio, pytest.mark.unmeasured]

ROOT: Final = Path(__file__).parents[2]
SHORT_SECONDS: Final = 2.0
LONG_SECONDS: Final = 60.0
LONG_SEEDS: Final = ("1", "2", "3")
BETWEEN_CHECKS_SECONDS: Final = 0.5
KINDS: Final = ("reserve", "capture", "release", "extend", "grant", "revoke")
ENOUGH_OF_EACH: Final = 10


async def test_no_breach_after_some_seconds_of_everything(gate_url: str, tmp_path: Path) -> None:
    await _run_bank(gate_url, tmp_path, seed="short", seconds=SHORT_SECONDS)


@pytest.mark.long
@pytest.mark.parametrize("seed", LONG_SEEDS)
async def test_no_breach_after_a_minute_of_everything(
    gate_url: str, tmp_path: Path, seed: str
) -> None:
    await _run_bank(gate_url, tmp_path, seed=seed, seconds=LONG_SECONDS)


async def _run_bank(url: str, folder: Path, *, seed: str, seconds: float) -> None:
    """Run the bank; check it while it runs, when it has ended, and when every hold has ended."""
    await open_bank(url)
    summary = await _open_for(seconds, url, folder, seed)
    assert not summary["failed"], "\n".join(summary["failed"])
    await _settle_down(url)
    await _assert_no_breach(url, folder)
    assert summary["killed"] >= 3
    assert summary["stopped"] == summary["started"] - summary["killed"]
    assert _was_busy(folder), "a bank that does nothing has no breach either"

    async with new_gate(url, clock=ManualClock(utc_now() + timedelta(hours=1))).connected() as gate:
        await gate.credits.expire_holds()
    await _assert_no_breach(url, folder)
    [still_open, held] = await read_at_one_moment(
        url,
        "SELECT id FROM gatekeeper_holds WHERE status = 'open'",
        "SELECT customer FROM gatekeeper_accounts WHERE held <> 0",
    )
    assert (still_open, held) == ([], [])


async def _open_for(seconds: float, url: str, folder: Path, seed: str) -> dict[str, Any]:
    """Let the workers work, with the checker beside them; returns what became of them."""
    main = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.bank import supervisor; "
    process = ServerProcess(
        [
            *(sys.executable, "-c", f"{main} supervisor.main()", url, str(folder)),
            *("--seed", seed, "--seconds", str(seconds)),
        ],
        log=folder / "supervisor.log",
        answers=lambda: any(folder.glob("*.journal")),
    )
    await asyncio.to_thread(process.start)
    try:
        while process.running:
            await _assert_no_breach(url, folder)
            if _was_busy(folder):
                (folder / ENOUGH).touch()
            await asyncio.sleep(BETWEEN_CHECKS_SECONDS)
    finally:
        process.kill()
    assert (folder / SUMMARY).exists(), process.log_text()
    found: dict[str, Any] = json.loads((folder / SUMMARY).read_text())
    return found


async def _settle_down(url: str) -> None:
    """Until PostgreSQL has seen that the killed are gone: it rolls back what they had open."""
    async with asyncio.timeout(30):
        while await backends(url):
            pass  # each look is a connection of its own: it takes its time
    if is_sqlite(url):
        await execute(url, "PRAGMA wal_checkpoint(TRUNCATE)")


async def _assert_no_breach(url: str, folder: Path) -> None:
    breaches = await check(url, folder)
    if breaches:
        pytest.fail(await report(url, breaches))


def _was_busy(folder: Path) -> bool:
    """Whether enough of everything was done."""
    done = Counter(
        question.what for question in read_journals(folder).questions if question.told is not None
    )
    return all(done[what] >= ENOUGH_OF_EACH for what in KINDS)
