"""`gatekeeper events retry`: dead letters, or one event, tried again."""

import pytest

from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import EventStatus
from gatekeeper.storage.sql.store import store_for
from tests.cli.conftest import Host
from tests.cli.test_worker import arrive

pytestmark = pytest.mark.anyio


async def test_dead_letters_and_single_events_are_tried_again(host: Host) -> None:
    host.run("db", "upgrade")
    await arrive(host, "evt_1", "evt_2")

    def end(tx: Transaction) -> None:
        tx.inbox.settle("/evt_1", EventStatus.DEAD, error="it failed")
        tx.inbox.settle("/evt_2", EventStatus.DONE)

    async with store_for(host.env["GATEKEEPER_DATABASE_URL"]) as store:
        await store.write(end)
    assert "1 event(s)" in host.run("events", "retry", "billing:gate", "--dead")
    assert "1 event(s)" in host.run("events", "retry", "billing:gate", "evt_2")
    assert host.run("worker", "billing:gate", "--once").startswith("2 event(s) dispatched")
    assert sorted(host.handled) == ["evt_1", "evt_2"]


def test_what_is_to_be_tried_again_must_be_said_and_be_there(host: Host) -> None:
    host.run("db", "upgrade")
    for arguments in ([], ["evt_1", "--dead"]):
        shown = host.run("events", "retry", "billing:gate", *arguments, status=1)
        assert "Give either --dead or the id" in shown
    shown = host.run("events", "retry", "billing:gate", "evt_1", status=1)
    assert "no dead, done or discarded event 'evt_1'" in shown


async def test_dead_letters_are_listed_and_discarded(host: Host) -> None:
    host.run("db", "upgrade")
    await arrive(host, "evt_1", "evt_2")

    def end(tx: Transaction) -> None:
        tx.inbox.settle("/evt_1", EventStatus.DEAD, error="it failed")

    async with store_for(host.env["GATEKEEPER_DATABASE_URL"]) as store:
        await store.write(end)
    shown = host.run("events", "list", "billing:gate")
    assert "/evt_1" in shown
    assert "it failed" in shown
    assert "/evt_2" not in shown
    assert "/evt_2" in host.run("events", "list", "billing:gate", "--status", "pending")
    assert "1 event discarded" in host.run("events", "discard", "billing:gate", "evt_1")
    assert "/evt_1" in host.run("events", "list", "billing:gate", "--status", "discarded")
    shown = host.run("events", "discard", "billing:gate", "evt_1", status=1)
    assert "no dead or waiting event 'evt_1'" in shown
    assert "1 event(s)" in host.run("events", "retry", "billing:gate", "evt_1")
