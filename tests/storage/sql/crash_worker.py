"""A process that begins a transaction, says so, and waits to be killed."""

import asyncio
import sys
import time

from gatekeeper.storage.port import Transaction
from gatekeeper.storage.sql.store import store_for
from gatekeeper.testing.conformance.storage import samples


def half(tx: Transaction) -> None:
    """Write a little of everything, and never come to the end."""
    samples.fund(tx, 100, grant_id="grant_2")
    samples.hold(tx, "hold_2")
    tx.inbox.insert(samples.event("evt_2"))
    tx.outbox.add([samples.message("msg_2")])
    print("in the middle", flush=True)
    time.sleep(600)


async def main(url: str) -> None:
    """Open the store and begin."""
    async with store_for(url) as store:
        await store.write(lambda tx: samples.fund(tx, 7))
        await store.write(half)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
