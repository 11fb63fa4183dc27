"""Which signals customers are told of, in which words, and where."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from gatekeeper.catalog import Catalog, Plan, Unit
from gatekeeper.errors import (
    ConfigurationError,
    RegistrationError,
    UnavailableError,
    UndeliverableError,
)
from gatekeeper.gate import Gatekeeper
from gatekeeper.ledger import Clawback
from gatekeeper.services import customers
from gatekeeper.services.ledger.batch import carry_out
from gatekeeper.services.ledger.commands import AccountChange
from gatekeeper.services.notices import Letters, Notice, NoticeDesk, Notifier
from gatekeeper.services.notices.desk import ALL_KINDS, kind_of, shown
from gatekeeper.services.outbox import Signal, tell
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Store
from gatekeeper.storage.records import OutboxState
from gatekeeper.testing.clock import ManualClock
from tests.gates import CATALOG, CUSTOMER, new_gate
from tests.outbox.mailbox import mail_server

pytestmark = pytest.mark.anyio

PAID = {"amount_minor": 500, "currency": "eur", "invoice": "in_1"}


class Notes(Notifier):
    """Notes what it is handed, and fails when it is told to."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.failures: list[Exception] = []

    async def notify(self, notice: Notice) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.notices.append(notice)


def signal(topic: str, **body: Any) -> Signal:
    at = datetime(2026, 1, 5, tzinfo=UTC)
    return Signal(id="sig_1", topic=topic, customer=CUSTOMER, at=at, body=body)


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ({"status": None}, {"status": "active"}, "subscription_started"),
        ({"status": "incomplete"}, {"status": "trialing"}, "subscription_started"),
        ({"status": None}, {"status": "incomplete"}, None),
        ({"status": "active"}, {"status": "past_due"}, None),
        ({"status": "past_due"}, {"status": "canceled"}, "subscription_ended"),
        ({"status": "incomplete"}, {"status": "canceled"}, None),
        ({"status": "active"}, {"status": "active", "cancel_at": "2026-02"}, "subscription_ending"),
        (
            {"status": "active", "cancel_at": "2026-02"},
            {"status": "active", "cancel_at": "2026-02"},
            None,
        ),
    ],
)
def test_what_a_change_of_a_subscription_is_to_its_customer(
    before: dict[str, Any], after: dict[str, Any], kind: str | None
) -> None:
    told = {"previous_" + key: value for key, value in before.items()}
    assert kind_of(signal("subscription.changed", **after, **told)) == kind


def test_amounts_are_shown_as_people_write_them() -> None:
    assert [shown(150, 2), shown(100, 2), shown(-5, 1), shown(7, 0)] == ["1.5", "1", "-0.5", "7"]


async def test_a_customer_is_told_where_they_were_written_down_or_where_the_host_says(
    memory_store: Store,
) -> None:
    unit = Unit("credits", scale=2)
    catalog = Catalog(plans=[Plan("free", default=True, grants=[unit.once(5)])])
    await memory_store.write(lambda tx: customers.ensure(tx, "ada", email="ada@example.com"))
    notes = Notes()
    desk = NoticeDesk(memory_store, catalog, notes, kinds=ALL_KINDS)  # type: ignore[arg-type]
    low = Signal(
        id="1",
        topic="credits.low",
        customer="ada",
        at=datetime.now(UTC),
        body={"unit": "credits", "left": 150},
    )
    await desk.receive(low)
    await desk.receive(signal("credits.low", unit="credits", left=150))  # no address
    (notice,) = notes.notices
    assert (notice.kind, notice.to, notice.facts["left_shown"]) == (
        "credits_low",
        "ada@example.com",
        "1.5",
    )

    async def address(customer: str) -> str | None:
        return None if customer == "ada" else f"{customer}@host.example"

    desk = NoticeDesk(memory_store, catalog, notes, address=address)
    await desk.receive(low)
    await desk.receive(signal("credits.low", unit="credits", left=150))
    assert [one.to for one in notes.notices[1:]] == [f"{CUSTOMER}@host.example"]
    await desk.receive(signal("grant.expiring", unit="credits", left=1))  # is not told by default
    await desk.receive(signal("customer.created"))
    assert len(notes.notices) == 2


@pytest.fixture
async def host(migrated_sqlite_url: str) -> AsyncIterator[tuple[Gatekeeper, Notes]]:
    """A gate with a notifier, connected without its background work."""
    gate, notes = new_gate(migrated_sqlite_url, clock=ManualClock()), Notes()
    gate.notify(notes)
    async with gate.connected():
        yield gate, notes


async def _paid(gate: Gatekeeper) -> None:
    await gate.customers.ensure(CUSTOMER, email="ada@example.com")
    await gate._parts.store.write(
        lambda tx: tell(tx, "payment.succeeded", CUSTOMER, PAID, tx.now())
    )


async def test_a_notice_leaves_by_the_outbox_until_it_is_sent(
    host: tuple[Gatekeeper, Notes],
) -> None:
    gate, notes = host
    notes.failures = [UnavailableError("away"), ConnectionError("away")]
    await _paid(gate)
    for _ in range(3):
        await gate.outbox.drain()
        gate._parts.denials._clock.advance(hours=1)  # type: ignore[attr-defined]
    (notice,) = notes.notices
    assert (notice.kind, notice.to, notice.facts) == ("receipt", "ada@example.com", PAID)
    await gate.outbox.drain()
    assert len(notes.notices) == 1


async def test_what_can_never_be_sent_is_a_dead_letter(host: tuple[Gatekeeper, Notes]) -> None:
    gate, notes = host
    notes.failures = [UndeliverableError("no such mailbox")]
    await _paid(gate)
    await gate.outbox.drain()
    (dead,) = await gate.outbox.listing(OutboxState.DEAD)
    assert dead.receiver == "gatekeeper.notices"
    assert await gate.outbox.retry(dead.id) == 1
    await gate.outbox.drain()
    assert len(notes.notices) == 1


async def test_debt_is_told_with_what_is_owed(host: tuple[Gatekeeper, Notes]) -> None:
    gate, notes = host
    await gate.customers.ensure(CUSTOMER, email="ada@example.com")
    await gate.balance(CUSTOMER, "credits")
    taking = Clawback(amount=12, actor="test")
    command = AccountChange((CUSTOMER, "credits"), taking)
    await gate._parts.store.write(lambda tx: carry_out(tx, Rules(CATALOG), command))
    await gate.outbox.drain()
    (owed,) = [one for one in notes.notices if one.kind == "credits_owed"]
    assert (owed.facts["owed"], owed.facts["added"]) == (7, 7)
    assert "You owe 7 credits" in Letters().letter(owed).subject


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("declined", "The payment of 5.00 EUR was declined: please choose another card."),
        ("authentication_required", "Your bank asks for you"),
        ("monthly_cap", "The most that you wished to spend in a month is spent."),
        ("frozen", ""),
    ],
)
def test_why_nothing_is_bought_any_more_is_told_where_it_may_be(reason: str, words: str) -> None:
    told = signal("top_up.blocked", unit="credits", reason=reason, **PAID)
    kind = kind_of(told)
    assert kind == "top_up_blocked"
    notice = Notice(
        id="1", kind=kind, customer=CUSTOMER, to="a@b.example", at=told.at, facts=told.body
    )
    letter = Letters().letter(notice)
    assert letter.subject == "Your credits are not topped up any more"
    assert words in letter.text
    assert reason not in letter.text.replace("declined:", "")


async def test_the_settings_alone_send_mail(migrated_sqlite_url: str, free_port: int) -> None:
    with mail_server(free_port) as mailbox:
        gate = new_gate(
            migrated_sqlite_url,
            clock=ManualClock(),
            smtp_host="127.0.0.1",
            smtp_port=free_port,
            smtp_tls="none",
            smtp_from="Acme <billing@acme.example>",
        )
        gate.notify(letters=Letters(product="Acme"))
        async with gate.connected():
            await _paid(gate)
            await gate.outbox.drain()
        (mail,) = mailbox.mails
        assert mail["Subject"] == "Acme: Your receipt"
        assert mail["To"] == "ada@example.com"


def test_what_can_not_be_told_is_refused_when_it_is_registered(migrated_sqlite_url: str) -> None:
    gate = new_gate(migrated_sqlite_url)
    with pytest.raises(ConfigurationError, match="GATEKEEPER_SMTP_HOST"):
        gate.notify()
    with pytest.raises(RegistrationError, match="no notice 'spam'"):
        gate.notify(Notes(), kinds=["spam"])  # type: ignore[list-item]
    with pytest.raises(RegistrationError, match="No kind of notice"):
        gate.notify(Notes(), kinds=[])
    gate.notify(Notes())
    with pytest.raises(RegistrationError, match="registered twice"):
        gate.notify(Notes())
