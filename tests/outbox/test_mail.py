"""Notices as mail, to a real mail server."""

import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from gatekeeper.errors import (
    ConfigurationError,
    MissingExtraError,
    UnavailableError,
    UndeliverableError,
)
from gatekeeper.services.notices import Letter, Letters, Notice, NoticeKind, SmtpNotifier
from gatekeeper.services.notices.smtp import MAX_SUBJECT_CHARS, checked_address
from tests.outbox.mailbox import PASSWORD, Mailbox, mail_server

pytestmark = pytest.mark.anyio

SENDER = "Acme <billing@acme.example>"
AT = datetime(2026, 1, 5, 12, tzinfo=UTC)
FACTS: dict[str, Any] = {
    "amount_minor": 999,
    "currency": "eur",
    "invoice": "in_1",
    "next_attempt_at": "2026-01-08T12:00:00Z",
    "unit": "credits",
    "left": 3,
    "left_shown": "3",
    "owed_shown": "7",
    "every": "day",
    "expires_at": "2026-02-01T00:00:00Z",
    "cancel_at": "2026-03-01T00:00:00Z",
    "items": [{"plan": "pro"}],
}


def notice(kind: NoticeKind = "receipt", to: str = "ada@example.com", **facts: Any) -> Notice:
    return Notice(id="01a1-signal", kind=kind, customer="org_1", to=to, at=AT, facts=FACTS | facts)


@pytest.fixture
def mailbox(free_port: int) -> Iterator[Mailbox]:
    with mail_server(free_port) as server:
        yield server


def notifier(mailbox: Mailbox, **options: Any) -> SmtpNotifier:
    given: dict[str, Any] = {"port": mailbox.port, "tls": "none"} | options
    return SmtpNotifier("127.0.0.1", SENDER, **given)


async def test_a_notice_arrives_as_text_and_html(mailbox: Mailbox) -> None:
    letters = Letters(product="Acme & Co", link="https://acme.example/billing")
    await notifier(mailbox, letters=letters).notify(notice())
    (mail,) = mailbox.mails
    assert mailbox.recipients == ["ada@example.com"]
    assert mail["From"] == SENDER
    assert mail["To"] == "ada@example.com"
    assert mail["Subject"] == "Acme & Co: Your receipt"
    assert mail["Message-ID"] == "<gatekeeper.01a1-signal@acme.example>"
    assert mail["Date"] == "Mon, 05 Jan 2026 12:00:00 +0000"
    assert mail["Auto-Submitted"] == "auto-generated"
    plain, html = mail.get_body(["plain"]), mail.get_body(["html"])
    assert plain is not None
    assert html is not None
    assert "Your payment of 9.99 EUR has arrived." in plain.get_content()
    assert "https://acme.example/billing" in plain.get_content()
    assert "<p>Acme &amp; Co</p>" in html.get_content()


async def test_a_letter_that_is_sent_again_is_the_same_letter(mailbox: Mailbox) -> None:
    for _ in range(2):
        await notifier(mailbox).notify(notice())
    first, second = mailbox.mails
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Date"] == second["Date"]


@pytest.mark.parametrize("kind", get_args(NoticeKind))
def test_there_are_words_for_every_kind(kind: NoticeKind) -> None:
    letter = Letters().letter(notice(kind))
    assert letter.subject
    assert letter.text.strip()
    assert letter.html is not None


def test_an_amount_of_a_currency_that_nobody_knows_is_written_all_the_same() -> None:
    assert "999 XYZ, in its smallest unit" in Letters().letter(notice(currency="xyz")).text


def test_a_host_writes_its_own_letters() -> None:
    letters = Letters(words={"receipt": lambda told: Letter("Danke", f"{told.facts['invoice']}")})
    assert letters.letter(notice()) == ("Danke", "in_1", None)
    assert letters.letter(notice("credits_low")).subject == "You are running low on credits"
    assert (
        "not be tried again" in letters.letter(notice("payment_failed", next_attempt_at=None)).text
    )


async def test_nothing_from_outside_can_begin_a_header_or_a_command(mailbox: Mailbox) -> None:
    evil = "x\r\nBcc: eve@example.com\r\n\r\nhello\u2028there\x00"
    letters = Letters(product=evil, words={"receipt": lambda _: Letter(evil * 50, evil)})
    sender = notifier(mailbox, letters=letters)
    await sender.notify(notice())
    await sender.notify(notice("credits_low", unit=evil))
    for mail in mailbox.mails:
        assert mail["Bcc"] is None
        assert set(mail.keys()) == {
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "MIME-Version",
            "Content-Type",
            "Content-Transfer-Encoding",
            "X-Peer",
            "X-MailFrom",
            "X-RcptTo",
        } & set(mail.keys())
        assert "\n" not in mail["Subject"]
        assert len(mail["Subject"]) <= MAX_SUBJECT_CHARS
    assert mailbox.recipients == ["ada@example.com"] * 2


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "ada@",
        "@example.com",
        "ada@example.com, eve@example.com",
        "ada@example.com\r\nRCPT TO:<eve@example.com>",
        "Ada <ada@example.com>",
        "ada@exa mple.com",
        "ada@@example.com",
        "ada@[127.0.0.1]",
        "ada@" + "x" * 300,
        "ada@xn--" + "ü" * 80 + ".example",
        "ada\x00@example.com",
        "ädä@example.com",
        "a..b@example.com",
        "ada\u2028@example.com",
    ],
)
async def test_what_is_no_address_is_never_tried(address: str, mailbox: Mailbox) -> None:
    with pytest.raises(UndeliverableError, match=r"^There is no such mail address\.$"):
        await notifier(mailbox).notify(notice(to=address))
    assert mailbox.mails == []


def test_a_domain_of_other_letters_is_asked_for_in_its_ascii_form() -> None:
    assert checked_address("ada@bücher.example") == "ada@xn--bcher-kva.example"


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
async def test_a_refusal_for_ever_is_undeliverable_and_names_no_address(
    stage: str, mailbox: Mailbox
) -> None:
    mailbox.answers[stage] = "550 5.1.1 <ada@example.com> is unknown"
    with pytest.raises(UndeliverableError) as caught:
        await notifier(mailbox).notify(notice())
    assert "550" in str(caught.value)
    assert "ada@example.com" not in str(caught.value)


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
async def test_a_refusal_for_now_is_tried_again(stage: str, mailbox: Mailbox) -> None:
    mailbox.answers[stage] = "451 4.7.1 greylisted"
    with pytest.raises(RuntimeError, match="for now"):
        await notifier(mailbox).notify(notice())
    mailbox.answers.clear()
    await notifier(mailbox).notify(notice())
    assert len(mailbox.mails) == 1


async def test_a_server_that_is_not_there_or_goes_away_is_an_outage(
    mailbox: Mailbox, free_port: int
) -> None:
    mailbox.answers["DATA"] = "421 shutting down"
    with pytest.raises(UnavailableError, match="shutting down"):
        await notifier(mailbox).notify(notice())
    with pytest.raises(UnavailableError, match="can't be reached"):
        await notifier(mailbox, port=1).notify(notice())


async def test_a_server_without_encryption_is_told_nothing(mailbox: Mailbox) -> None:
    with pytest.raises(ConfigurationError, match="can't do what is asked"):
        await notifier(mailbox, tls="starttls").notify(notice())
    assert mailbox.mails == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key and a certificate for 127.0.0.1 that nobody trusts who is not told to."""
    folder = tmp_path_factory.mktemp("tls")
    key, made = folder / "key.pem", folder / "made.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(made)),
        ],
        check=True,
        capture_output=True,
    )
    return key, made


async def test_it_logs_in_over_tls_and_a_stranger_s_certificate_is_refused(
    free_port: int, certificate: tuple[Path, Path]
) -> None:
    key, made = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    trusting = ssl.create_default_context(cafile=str(made))
    box = Mailbox()
    options: dict[str, Any] = {
        "tls_context": context,
        "require_starttls": True,
        "auth_required": True,
        "authenticator": box.authenticate,
    }
    with mail_server(free_port, **options) as mailbox:
        login = {"tls": "starttls", "username": "ada", "password": PASSWORD}
        await notifier(mailbox, tls_context=trusting, **login).notify(notice())
        assert box.users == ["ada"]
        assert len(mailbox.mails) == 1
        with pytest.raises(UnavailableError, match="does not let us in"):
            await notifier(mailbox, tls_context=trusting, **login | {"password": "x"}).notify(
                notice()
            )
        with pytest.raises(UnavailableError):
            await notifier(mailbox, **login).notify(notice())
        assert len(mailbox.mails) == 1


def test_a_sender_that_is_none_is_refused() -> None:
    for sender in ("Acme", "", "a@b\r\nBcc: eve@example.com"):
        with pytest.raises(ConfigurationError, match="no mail address"):
            SmtpNotifier("127.0.0.1", sender)


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "aiosmtplib", None)
    with pytest.raises(MissingExtraError, match=r"gatekeeper-entitlements\[smtp\]"):
        SmtpNotifier("127.0.0.1", SENDER)
