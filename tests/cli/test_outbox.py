"""`gatekeeper outbox`: dead letters listed, tried again and deleted."""

import pytest

from gatekeeper.services.outbox import tell
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import OutboxState
from gatekeeper.storage.sql.store import store_for
from tests.cli.conftest import Host

pytestmark = pytest.mark.anyio


async def test_dead_letters_are_listed_tried_again_and_deleted(host: Host) -> None:
    host.migrate()

    def bury(tx: Transaction) -> list[str]:
        for customer in ("ada", "bob"):
            tell(tx, "credits.low", customer, {}, tx.now())
        ids = [one.id for one in tx.outbox.listing(OutboxState.WAITING, 9)]
        for id_ in ids:
            tx.outbox.failed(id_, "no such address", due_at=None)
        return ids

    async with store_for(host.env["GATEKEEPER_DATABASE_URL"]) as store:
        first, second = await store.write(bury)
    shown = host.run("outbox", "list", "billing:gate")
    assert shown.count("credits.low, 0 tries: no such address") == 2
    assert "1 message(s) will" in host.run("outbox", "retry", "billing:gate", first)
    assert first in host.run("outbox", "list", "billing:gate", "--state", "waiting")
    assert "1 message(s) deleted" in host.run("outbox", "discard", "billing:gate", "--dead")
    refused = host.run("outbox", "retry", "billing:gate", second, status=1)
    assert "no such message" in refused
    assert "Give either" in host.run("outbox", "discard", "billing:gate", status=1)
