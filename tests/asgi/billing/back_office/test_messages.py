"""The inbox, the outbox, reconciliations, health and the record of actions, over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gatekeeper.errors import StripeUnavailableError
from gatekeeper.services import transfers
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import EventStatus, OutboxMessage
from gatekeeper.stripe.long_work import held
from gatekeeper.testing.conformance.storage import samples
from tests.asgi.billing.back_office.office import ANN, REASON, Office

pytestmark = pytest.mark.anyio


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def dead(number: int, **more: Any) -> Any:
    key = f"/evt_{number}"
    about: dict[str, Any] = {"type": "invoice.paid", "last_error": "No luck."}
    about |= {"status": EventStatus.DEAD, "received_at": LONG_AGO + timedelta(seconds=number)}
    event = samples.event(f"evt_{number}", f"in_{number}")
    return type(event)(**{**_fields(event), **about, "key": key, **more})


def _fields(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


async def fill(office: Office, *events: Any) -> None:
    await office.gate.store.write(lambda tx: tx.inbox.insert_many(events))


async def test_events_are_listed_by_what_they_are_and_shown_with_what_was_done(
    office: Office,
) -> None:
    await fill(office, *(dead(number) for number in range(1, 6)), dead(6, type="charge.updated"))
    listed = await office.walk("events", status="dead", type="invoice.*")
    assert [one["id"] for one in listed] == [f"evt_{number}" for number in range(1, 6)]
    assert {"payload", "key"}.isdisjoint(listed[0])
    (one,) = await office.walk("events", object_id="in_3")
    shown = await office.get("events/evt_3")
    assert shown["event"] == one
    assert (one["last_error"], one["attempts"]) == ("No luck.", 0)
    assert shown["completed"] == {}
    missing = await office.client.get(
        "/billing/admin/events/evt_9", headers={"x-actor": "ann@support"}
    )
    assert missing.status_code == 404


async def test_an_event_is_replayed_and_given_up_with_a_record_each(durable_office: Office) -> None:
    office = durable_office
    await fill(office, dead(1), dead(2, key="acct_1/evt_2", account="acct_1"))
    done = await office.ask("events/evt_1/replay", once="k")
    assert (done["before"], done["after"]) == ({"status": "dead"}, {"status": "pending"})
    assert (done["subject"], done["reason"]) == ("event/evt_1", REASON)
    assert await office.ask("events/evt_1/replay", once="k") == done
    await office.ask("events/evt_1/replay", 404)
    given_up = await office.ask("events/evt_2/discard", account="acct_1")
    assert given_up["after"] == {"status": "discarded"}
    await office.ask("events/evt_2/discard", 404, account="acct_1")
    await office.ask("events/evt_9/discard", 404)
    await office.ask("events/evt_2/replay", 400, account="acct_1", again=["no.such.handler"])
    assert len(await office.walk("actions")) == 2


async def test_dead_letters_are_replayed_and_given_up_in_bulk_after_a_dry_run(
    office: Office,
) -> None:
    await fill(office, *(dead(number) for number in range(1, 5)), dead(6, type="charge.updated"))
    asked: dict[str, Any] = {"type": "invoice.*"}
    dry = await office.ask("events/replay", dry_run=True, **asked)
    assert dry == {"events": 4, "dry_run": True}
    assert await office.walk("actions") == []
    assert (await office.ask("events/replay", **asked))["events"] == 4
    assert (await office.ask("events/discard", until="2019-01-01T00:00:00Z"))["events"] == 0
    office.sim.advance(seconds=1)
    assert (await office.ask("events/discard"))["events"] == 1
    discarded, replayed = await office.walk("actions")
    assert (replayed["kind"], replayed["after"]) == ("event.retry_all", {"events": 4})
    assert replayed["before"]["selection"] == {"status": "dead", "type": "invoice.*"}
    assert (discarded["kind"], discarded["after"]) == ("event.discard_all", {"events": 1})


async def test_dead_letters_of_the_outbox_are_sent_again_and_deleted(office: Office) -> None:
    def write(tx: Transaction) -> None:
        for number in range(4):
            message: OutboxMessage = samples.message(f"msg_{number}", f"of {number}", age=-number)
            tx.outbox.add([message])
            if number:
                tx.outbox.failed(message.id, "No luck.", due_at=None)

    await office.gate.store.write(write)
    listed = await office.walk("outbox")
    assert [one["id"] for one in listed] == ["msg_1", "msg_2", "msg_3"]
    assert "body" not in listed[0]
    assert "msg_0" in [one["id"] for one in await office.walk("outbox", state="waiting")]
    assert (await office.ask("outbox/retry", message="msg_1"))["after"] == {"messages": 1}
    office.sim.advance(seconds=1)
    assert (await office.ask("outbox/discard"))["after"] == {"messages": 2}
    await office.ask("outbox/discard", 404)
    await office.ask("outbox/retry", 404, message="msg_9")
    assert await office.walk("outbox") == []
    kinds = [one["kind"] for one in await office.walk("actions")]
    assert kinds == ["outbox.discard", "outbox.retry"]


async def test_a_reconciliation_runs_in_the_background_and_says_what_it_found(
    durable_office: Office,
) -> None:
    office = durable_office
    await office.buy("team_monthly")
    (subscription,) = office.sim.client().v1.subscriptions.list().data
    office.sim.client().v1.subscriptions.cancel(subscription.id)  # and no event ever comes
    started = await office.ask("reconciliations", 202, once="k", events=False)
    assert (started["dry_run"], started["reason"]) == (True, REASON)
    assert (await office.ask("reconciliations", 202, once="k", events=False))["id"] == started["id"]
    await office.gate.tasks.drained()
    found = await office.get(f"reconciliations/{started['id']}")
    assert (found["status"], found["error"]) == ("finished", None)
    assert found["report"]["differences"] == len(found["report"]["drift"]) > 0
    assert {one["id"] for one in found["report"]["drift"]} >= {subscription.id}
    assert found["looked"]["subscriptions"] >= 1
    assert "team" in (await office.gate.entitlements("org_1")).plans
    office.sim.advance(seconds=1)
    real = await office.ask(
        "reconciliations", 202, events=False, dry_run=False, allow_revocations=True
    )
    await office.gate.tasks.drained()
    runs = await office.walk("reconciliations")
    assert [(one["id"], one["status"]) for one in runs] == [
        (real["id"], "finished"),
        (started["id"], "finished"),
    ]
    assert "team" not in (await office.gate.entitlements("org_1")).plans


async def test_a_reconciliation_that_fails_or_whose_process_died_says_so(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*asked: Any) -> Any:
        raise StripeUnavailableError("Nobody answers.")

    with monkeypatch.context() as patched:
        patched.setattr(office.gate.reconciler, "run", fail)
        failed = await office.ask("reconciliations", 202)
        await office.gate.tasks.drained()
    found = await office.get(f"reconciliations/{failed['id']}")
    assert (found["status"], found["error"]) == ("failed", "stripe_unavailable")

    async def break_down(*asked: Any) -> Any:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(office.gate.reconciler, "run", break_down)
        broken = await office.ask("reconciliations", 202)
        await office.gate.tasks.drained()
    found = await office.get(f"reconciliations/{broken['id']}")
    assert (found["status"], found["error"]) == ("failed", "internal_error")

    name = f"reconciliation/{failed['id']}"
    async with held(office.gate.store, name) as work:
        await work.save(status="running")
        assert (await office.get(f"reconciliations/{failed['id']}"))["status"] == "running"
    assert (await office.get(f"reconciliations/{failed['id']}"))["status"] == "interrupted"
    await office.ask("reconciliations", 400, events=False, objects=False)

    def forget(tx: Transaction) -> None:  # as if the process had died before it began
        tx.progress.put(name, '{"status":"waiting"}', tx.now())

    await office.gate.store.write(forget)
    assert (await office.get(f"reconciliations/{failed['id']}"))["status"] == "waiting"
    office.sim.advance(minutes=6)
    assert (await office.get(f"reconciliations/{failed['id']}"))["status"] == "interrupted"
    missing = await office.client.get(
        "/billing/admin/reconciliations/rec_9", headers={"x-actor": "ann@support"}
    )
    assert missing.status_code == 404


async def test_health_shows_how_much_waits_and_since_when(office: Office) -> None:
    await fill(office, dead(1), dead(2, status=EventStatus.PENDING))
    found = await office.get("health")
    assert found["status"] in ("ok", "degraded")
    assert {one["name"] for one in found["checks"]} >= {"database", "inbox", "outbox", "stripe"}
    inbox = found["queues"]["inbox"]
    assert (inbox["waiting"], inbox["dead"]) == (1, 1)
    assert inbox["oldest_at"] is not None
    assert set(found["queues"]) == {"inbox", "outbox", "usage", "requests"}


async def test_health_is_told_though_the_database_is_gone(office: Office) -> None:
    await office.gate.store.close()
    health, survey = await office.gate.back_office.health()
    assert (health.is_ready, survey) == (False, None)
    await office.gate.store.open()


FOUND: tuple[tuple[dict[str, str], int], ...] = (
    ({}, 3),
    ({"kind": "credits.grant"}, 3),
    ({"actor": "bob"}, 0),
    ({"customer": "org_2"}, 0),
    ({"since": "2999-01-01T00:00:00Z"}, 0),
    ({"until": "2000-01-01T00:00:00Z"}, 0),
)


async def test_actions_are_found_by_who_what_and_when(office: Office) -> None:
    for _ in range(3):
        await office.ask("customers/org_1/grants", 201, unit="credits", amount=1)
    for query, found in FOUND:
        assert len(await office.walk("actions", **query)) == found


REFUSED = (
    "actions?since=2030-01-01T00:00:00",
    "actions?since=0001-01-01T00:00:00%2B14:00",
    "actions?cursor=WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzE0OjAwIiwiYSJd",  # the same instant
    "actions?limit=0",
    "actions?limit=101",
    "actions?cursor=abc",
    "actions?cursor=WyIyMDMwLTAxLTAxVDAwOjAwOjAwIiwiYSJd",  # ["2030-01-01T00:00:00","a"]
    "customers?cursor=WyJcdTAwMDAiXQ",  # ["\u0000"]
    "refunds?status=lost",
    "disputes?status=open",
    "events?status=gone",
    "outbox?state=gone",
    "events?colour=red",
)


async def test_what_can_not_be_asked_is_refused(office: Office) -> None:
    for path in REFUSED:
        answer = await office.client.get(f"/billing/admin/{path}", headers=ANN)
        assert answer.status_code == 400, (path, answer.text)


async def test_transfers_are_paged_what_was_refused_first(durable_office: Office) -> None:
    office = durable_office
    for number in range(5):
        await office.gate.owe_transfer(
            f"order_{number}",
            customer="org_1",
            charge_id="ch_1",
            destination="acct_1",
            amount_minor=400,
            currency="eur",
        )
    for number in (1, 3, 4):
        name = f"order_{number}"
        await office.gate.store.write(lambda tx, name=name: transfers.note_refused(tx, name, "No."))  # type: ignore[misc]
    assert [one["id"] for one in await office.walk("transfers")] == [
        *("order_1", "order_3", "order_4"),
        *("order_0", "order_2"),
    ]
    failed = await office.walk("transfers", status="failed")
    assert [one["id"] for one in failed] == ["order_1", "order_3", "order_4"]
    assert [one["id"] for one in await office.walk("transfers", status="owed")] == [
        "order_0",
        "order_2",
    ]
