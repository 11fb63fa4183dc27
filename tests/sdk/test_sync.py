"""The synchronous face of a gate."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import anyio.to_thread
import pytest

from gatekeeper import Gatekeeper, SyncGatekeeper, WebhookEvent
from gatekeeper.errors import (
    ConfigurationError,
    CreditsFrozenError,
    CreditsRequiredError,
    HoldEndedError,
    NoGateError,
    NotFoundError,
    OverrunError,
    UnknownNameError,
)
from gatekeeper.ledger import HoldStatus
from gatekeeper.testing.clock import ManualClock
from gatekeeper.testing.events import invoice, make_event, signed
from tests.gates import CUSTOMER, WEBHOOK_SECRET, available, new_gate

pytestmark = pytest.mark.anyio


def test_everything_without_an_event_loop(gate_url: str, clock: ManualClock) -> None:
    gate = new_gate(gate_url, clock=clock)
    with SyncGatekeeper(gate) as billing:
        assert billing.ensure_customer(CUSTOMER, email="a@b.example").email == "a@b.example"
        assert billing.entitlements(CUSTOMER).plans == {"free"}
        assert not billing.allows(CUSTOMER, "downloads")
        assert not billing.decide(CUSTOMER, "downloads").allowed
        assert "free" in str(billing.explain(CUSTOMER))
        assert billing.grant(CUSTOMER, "credits", 10, reason="test").amount == 10
        with billing.reserve(CUSTOMER, "credits", 4) as hold:
            hold.record(3)
        assert billing.balance(CUSTOMER, "credits").available == 12
        with pytest.raises(ZeroDivisionError), billing.reserve(CUSTOMER, "credits", 4):
            raise ZeroDivisionError
        assert billing.balance(CUSTOMER, "credits").available == 12
        made = billing.hold(CUSTOMER, "credits", 2)
        billing.extend(made.id)
        assert billing.capture(made.id, 1).captured == 1
        other = billing.hold(CUSTOMER, "credits", 2)
        assert billing.release(other.id).status is HoldStatus.RELEASED
        assert [b.available for b in billing.balances(CUSTOMER)] == [11, 0]
        kept = billing.hold(CUSTOMER, "credits", 2)
        assert billing.find_hold(kept.id) == kept
        assert billing.open_holds(CUSTOMER, "credits") == [kept]
        billing.release(kept.id)
        assert billing.find_hold(kept.id, customer=CUSTOMER).status is HoldStatus.RELEASED
        gift = billing.grant(CUSTOMER, "credits", 5, reason="test")
        assert billing.revoke(CUSTOMER, "credits", gift.id, reason="a mistake") == 5
        billing.set_cap(CUSTOMER, "credits", "day", 0, scope="design")
        with pytest.raises(CreditsRequiredError, match="cap"):
            billing.hold(CUSTOMER, "credits", 1, scope="design")
        with pytest.raises(HoldEndedError):
            billing.capture(made.id)
        assert billing.freeze(CUSTOMER, "looks odd", key="case/1")
        with pytest.raises(CreditsFrozenError):
            billing.hold(CUSTOMER, "credits", 1)
        assert billing.unfreeze(CUSTOMER, actor="ann")
        (freeze,) = billing.freezes(CUSTOMER)
        assert (freeze.reason, freeze.actor) == ("looks odd", "ann")
        with pytest.raises(UnknownNameError):
            billing.allows(CUSTOMER, "teleportation")
        with pytest.raises(CreditsRequiredError), billing.reserve(CUSTOMER, "credits", 99):
            pytest.fail("it was reserved")
    assert not gate.is_open


def test_use_beyond_a_hold_is_refused_if_that_is_asked_for(gate_url: str) -> None:
    with SyncGatekeeper(new_gate(gate_url)) as billing:
        with (
            pytest.raises(OverrunError),
            billing.reserve(CUSTOMER, "credits", 1, overrun="refuse") as hold,
        ):
            hold.record(2)
        (kept,) = billing.open_holds(CUSTOMER, "credits")
        assert (kept.amount, kept.captured) == (1, 0)


def test_what_money_does_without_an_event_loop(gate_url: str, clock: ManualClock) -> None:
    with SyncGatekeeper(new_gate(gate_url, clock=clock)) as billing:
        owed = billing.owe_transfer(
            "order_1",
            customer=CUSTOMER,
            charge_id="ch_1",
            destination="acct_1",
            amount_minor=400,
            currency="eur",
        )
        assert billing.unsent_transfers(limit=1) == [owed]
        clock.advance(hours=1)
        assert billing.retry_transfer("order_1").due_at == clock()
        with pytest.raises(NotFoundError):
            billing.retry_transfer("order_2")
        assert list(billing.duplicate_purchases(CUSTOMER, limit=1)) == []
        for needs_stripe in (
            partial(billing.checkout, CUSTOMER, "pro", success_url="x:", cancel_url="x:"),
            partial(billing.checkout_status, "pur_1", CUSTOMER),
            partial(billing.portal, CUSTOMER, return_url="x:"),
            partial(billing.compare_usage, CUSTOMER, clock(), clock()),
        ):
            with pytest.raises(ConfigurationError, match="STRIPE_SECRET_KEY"):
                needs_stripe()


def test_webhooks_and_work_without_an_event_loop(gate_url: str) -> None:
    gate = new_gate(gate_url, background_work=False)
    heard: list[str] = []

    @gate.webhooks.on("invoice.paid")
    async def hear(event: WebhookEvent) -> None:
        heard.append(event.type)

    with SyncGatekeeper(gate) as billing:
        body, signature = signed(make_event("invoice.paid", invoice()), WEBHOOK_SECRET)
        assert billing.receive_webhook(body, "nobody's").status == 400
        assert billing.receive_webhook(body, signature).status == 200
        assert heard == []
        assert billing.work().events == 1
        assert heard == ["invoice.paid"]


def test_the_rest_of_the_gate_is_called(gate_url: str) -> None:
    with SyncGatekeeper(new_gate(gate_url)) as billing:
        customers = billing.gate.customers
        billing.call(customers.override_feature, CUSTOMER, "downloads", reason="a friend")
        assert billing.allows(CUSTOMER, "downloads")
        assert billing.call(customers.update, CUSTOMER, name="Ada").name == "Ada"


def test_it_is_used_by_many_threads(migrated_sqlite_url: str) -> None:
    with SyncGatekeeper(new_gate(migrated_sqlite_url)) as billing:
        billing.grant(CUSTOMER, "credits", 15, reason="test")

        def spend(_: int) -> int:
            try:
                with billing.reserve(CUSTOMER, "credits", 1):
                    return 1
            except CreditsRequiredError:
                return 0

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(spend, range(30))) == 20
        assert billing.balance(CUSTOMER, "credits").available == 0


def test_a_closed_gate_says_so(migrated_sqlite_url: str) -> None:
    billing = SyncGatekeeper(new_gate(migrated_sqlite_url))
    with pytest.raises(NoGateError, match="with SyncGatekeeper"):
        billing.balance(CUSTOMER, "credits")
    with billing:
        assert billing.balances(CUSTOMER)
    with pytest.raises(NoGateError):
        billing.balance(CUSTOMER, "credits")


async def test_it_uses_the_loop_of_a_gate_that_is_open(gate: Gatekeeper) -> None:
    billing = SyncGatekeeper(gate)

    def work() -> int:
        assert threading.current_thread() is not threading.main_thread()
        with billing.reserve(CUSTOMER, "credits", 2):
            pass
        return billing.balance(CUSTOMER, "credits").available or 0

    assert await anyio.to_thread.run_sync(work) == 3
    assert await available(gate) == 3


async def test_on_the_loop_itself_it_would_wait_for_ever_and_says_so(gate: Gatekeeper) -> None:
    with pytest.raises(ConfigurationError, match="await"):
        SyncGatekeeper(gate).balance(CUSTOMER, "credits")
