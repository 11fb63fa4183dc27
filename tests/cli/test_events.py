"""`gatekeeper events retry`: dead letters, or one event, tried again."""

from datetime import timedelta

import pytest

from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import ErrorKind, EventStatus
from gatekeeper.storage.sql.store import store_for
from tests.cli.conftest import Host
from tests.cli.test_worker import arrive

pytestmark = pytest.mark.anyio


async def test_dead_letters_and_single_events_are_tried_again(host: Host) -> None:
    host.migrate()
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


async def test_a_handler_runs_again_for_an_event_that_names_it(host: Host) -> None:
    host.migrate()
    await arrive(host, "evt_1")
    assert host.run("worker", "billing:gate", "--once").startswith("1 event(s) dispatched")
    command = ("events", "retry", "billing:gate")
    assert "Handlers run again for one EVENT_ID alone." in host.run(
        *command, "--dead", "--again", "x", status=1
    )
    assert "has no handler x" in host.run(*command, "evt_1", "--again", "x", status=1)
    assert "1 event(s)" in host.run(*command, "evt_1", "--again", "billing.note")
    assert host.run("worker", "billing:gate", "--once").startswith("1 event(s) dispatched")
    assert host.handled == ["evt_1", "evt_1"]


def test_what_is_to_be_tried_again_must_be_said_and_be_there(host: Host) -> None:
    host.migrate()
    for arguments in ([], ["evt_1", "--dead"]):
        shown = host.run("events", "retry", "billing:gate", *arguments, status=1)
        assert "Give either --dead or the id" in shown
    shown = host.run("events", "retry", "billing:gate", "evt_1", status=1)
    assert "no dead, done or discarded event 'evt_1'" in shown


async def test_dead_letters_are_listed_and_discarded(host: Host) -> None:
    host.migrate()
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
    assert "1 event(s) discarded" in host.run("events", "discard", "billing:gate", "evt_1")
    assert "/evt_1" in host.run("events", "list", "billing:gate", "--status", "discarded")
    shown = host.run("events", "discard", "billing:gate", "evt_1", status=1)
    assert "no dead or waiting event 'evt_1'" in shown
    assert "1 event(s)" in host.run("events", "retry", "billing:gate", "evt_1")


async def test_bulk_actions_choose_count_and_can_be_tried_dry(host: Host) -> None:
    host.migrate()
    await arrive(host, "evt_1", "evt_2", "evt_3")

    def end(tx: Transaction) -> None:
        transient, permanent = ErrorKind.TRANSIENT, ErrorKind.PERMANENT
        tx.inbox.settle("/evt_1", EventStatus.DEAD, error="no route", kind=transient)
        tx.inbox.settle("/evt_2", EventStatus.DEAD, error="no such order", kind=permanent)
        tx.inbox.settle("/evt_3", EventStatus.DEAD, error="no route", kind=permanent)

    async with store_for(host.env["GATEKEEPER_DATABASE_URL"]) as store:
        await store.write(end)
    shown = host.run("events", "list", "billing:gate", "--kind", "permanent", "--error", "route")
    assert shown.startswith("/evt_3  product.created  0  20")
    assert shown.rstrip().endswith("permanent: no route")
    permanent = ["billing:gate", "--dead", "--kind", "permanent"]
    assert host.run("events", "retry", *permanent, "--dry-run") == "2 dead letter(s) match.\n"
    assert host.run("events", "discard", *permanent, "--dry-run") == "2 dead letter(s) match.\n"
    none = host.run("events", "retry", "billing:gate", "--dead", "--until", "2020-01-01")
    assert none == "0 dead letter(s) match.\n"
    wanted = ["billing:gate", "--dead", "--type", "product.*", "--since", "2020-01-01T00:00:00"]
    assert host.run("events", "discard", *wanted, "--error", "order") == (
        "1 dead letter(s) match.\n1 event(s) discarded.\n"
    )
    assert host.run("events", "retry", *wanted) == (
        "2 dead letter(s) match.\n2 event(s) will be tried again.\n"
    )


@pytest.mark.parametrize("command", ["retry", "discard"])
def test_a_choice_without_dead_is_refused(host: Host, command: str) -> None:
    shown = host.run("events", command, "billing:gate", "evt_1", "--dry-run", status=1)
    assert "go with --dead" in shown
    shown = host.run("events", command, "billing:gate", "--kind", "transient", status=1)
    assert "Give either --dead or the id" in shown


async def test_an_event_is_shown_with_its_payload_if_asked_for(host: Host) -> None:
    host.migrate()
    await arrive(host, "evt_1")
    whole = host.run("events", "show", "billing:gate", "evt_1", "--payload")
    for line in (
        "event:        evt_1",
        "type:         product.created",
        "about:        product prod_1",
        "account:      our own",
        "mode:         test",
        "status:       pending",
        "attempts:     0",
        "to do:        billing.note",
        '  "type": "product.created"',
    ):
        assert line in whole.splitlines()
    assert "due:" in whole

    def work(tx: Transaction) -> None:
        tx.inbox.claim(tx.now(), tx.now() + timedelta(hours=1), 1)
        tx.inbox.complete("/evt_1", "billing.note", tx.now())

    def end(tx: Transaction) -> None:
        tx.inbox.settle("/evt_1", EventStatus.DEAD, error="why", kind=ErrorKind.DEPENDENCY)
        tx.inbox.purge_payloads(tx.now() + timedelta(hours=1), 10)

    async with store_for(host.env["GATEKEEPER_DATABASE_URL"]) as store:
        await store.write(work)
        shown = host.run("events", "show", "billing:gate", "evt_1")
        assert "leased until:" in shown
        assert "done:         billing.note, 20" in shown
        assert "to do:" not in shown
        assert '"type"' not in shown
        await store.write(end)
    shown = host.run("events", "show", "billing:gate", "evt_1", "--payload")
    assert "error:        dependency: why" in shown
    assert shown.rstrip().endswith("The body has been purged.")
    assert "no event 'evt_2'" in host.run("events", "show", "billing:gate", "evt_2", status=1)
