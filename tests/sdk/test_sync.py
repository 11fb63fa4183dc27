"""The synchronous face of a gate."""

import threading
from concurrent.futures import ThreadPoolExecutor

import anyio.to_thread
import pytest

from gatekeeper import Gatekeeper, SyncGatekeeper
from gatekeeper.errors import (
    ConfigurationError,
    CreditsFrozenError,
    CreditsRequiredError,
    HoldEndedError,
    NoGateError,
    UnknownNameError,
)
from gatekeeper.ledger import HoldStatus
from gatekeeper.testing.clock import ManualClock
from tests.gates import CUSTOMER, available, new_gate

pytestmark = pytest.mark.anyio


def test_everything_without_an_event_loop(gate_url: str, clock: ManualClock) -> None:
    gate = new_gate(gate_url, clock=clock)
    with SyncGatekeeper(gate) as billing:
        assert billing.ensure_customer(CUSTOMER, email="a@b.example").email == "a@b.example"
        assert billing.entitlements(CUSTOMER).plans == {"free"}
        assert not billing.allows(CUSTOMER, "downloads")
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
