"""`gatekeeper health`: how a gate is, and the exit status that says so."""

import json

import pytest

from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import EventStatus
from gatekeeper.storage.sql.store import store_for
from gatekeeper.testing.conformance.storage import samples
from tests.cli.conftest import Host

pytestmark = pytest.mark.anyio


async def test_the_exit_status_tells_how_a_gate_is(host: Host) -> None:
    assert "gatekeeper db upgrade" in host.run("health", "billing:gate", status=1)
    host.migrate()
    shown = host.run("health", "billing:gate")
    assert "inbox: ok: 0 wait, the oldest for 0 s; 0 dead" in shown
    assert shown.splitlines()[-1] == "ok"

    def bury(tx: Transaction) -> bool:
        return tx.inbox.insert(samples.event(status=EventStatus.DEAD))

    async with store_for(host.env["GATEKEEPER_DATABASE_URL"]) as store:
        await store.write(bury)
    shown = host.run("health", "billing:gate", "--json", status=3)
    found = json.loads(shown)
    assert found["status"] == found["checks"]["inbox"][0]["status"] == "warn"
