"""kill -9 in the middle of a transaction."""

import asyncio
import sys

import pytest

from gatekeeper.storage.records import EventStatus
from gatekeeper.storage.sql.store import store_for
from gatekeeper.testing.conformance.storage import samples

pytestmark = pytest.mark.anyio


async def test_a_killed_process_leaves_what_it_committed_and_nothing_of_the_rest(
    database_url: str,
) -> None:
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.storage.sql.crash_worker", database_url),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert worker.stdout is not None
        assert await worker.stdout.readline() == b"in the middle\n"
    finally:
        worker.kill()
        await worker.communicate()

    async with store_for(database_url) as store:
        account = await store.read(lambda tx: tx.ledger.account("ada", "credits", lock=False))
        assert (account.posted, account.held, account.version) == (7, 0, 1)
        assert len(await store.read(lambda tx: tx.ledger.entries("ada", "credits", 0, 10))) == 1
        assert await store.read(lambda tx: tx.ledger.find_hold("hold_2")) is None
        assert await store.read(lambda tx: tx.inbox.counts()) == {}
        await store.write(lambda tx: samples.fund(tx, 1, grant_id="grant_2"))  # no lock is left
        assert await store.write(lambda tx: tx.inbox.insert(samples.event("evt_2")))
        assert await store.read(lambda tx: tx.inbox.counts()) == {EventStatus.PENDING: 1}
