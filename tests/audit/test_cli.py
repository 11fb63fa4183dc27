"""`gatekeeper ledger` and `gatekeeper customer`, run as an operator runs them."""

import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest

from gatekeeper.cli.ledger import _say, _shown
from gatekeeper.services.audit import Verified
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.sql.store import store_for
from tests.audit.accounts import some_life
from tests.cli.conftest import Host, host

__all__ = ["host"]


def path_of(host: Host) -> Path:
    return Path(urlsplit(host.env["GATEKEEPER_DATABASE_URL"]).path)


@pytest.fixture
def shop(host: Host) -> Host:
    """Ada and Bob, with a life."""

    def fill(tx: Transaction) -> None:
        some_life(tx, "ada")
        some_life(tx, "bob")

    async def run() -> None:
        async with store_for(host.env["GATEKEEPER_DATABASE_URL"]) as store:
            await store.write(fill)

    host.migrate()
    anyio.run(run)
    return host


def damage(host: Host, statement: str) -> None:
    database = sqlite3.connect(path_of(host))
    with database:
        database.execute(statement)
    database.close()


def test_books_that_are_right_end_with_status_0(shop: Host) -> None:
    assert shop.run("ledger", "verify", "billing:gate").splitlines() == [
        "2 account(s) verified, 0 breach(es) found."
    ]
    assert shop.run("ledger", "rebuild", "billing:gate", "--write").splitlines() == [
        "2 account(s) looked at, 0 rebuilt, 0 can't be mended here."
    ]


def test_a_breach_is_named_and_ends_with_status_1(shop: Host) -> None:
    damage(shop, "UPDATE gatekeeper_accounts SET debt = 5 WHERE customer = 'bob'")
    assert shop.run("ledger", "verify", "billing:gate", status=1).splitlines() == [
        "bob credits: debt should be 0 and is 5",
        "2 account(s) verified, 1 breach(es) found.",
    ]
    only = shop.run("ledger", "verify", "billing:gate", "--customer", "ada")
    assert only.splitlines() == ["1 account(s) verified, 0 breach(es) found."]
    behind = shop.run("ledger", "verify", "billing:gate", "--after", "bob")
    assert behind.splitlines() == ["0 account(s) verified, 0 breach(es) found."]


def test_rebuilding_tells_first_and_writes_when_told(shop: Host) -> None:
    damage(shop, "UPDATE gatekeeper_accounts SET debt = 5 WHERE customer = 'bob'")
    told = shop.run("ledger", "rebuild", "billing:gate", status=1)
    assert told.splitlines() == [
        "bob credits: debt: 5 -> 0",
        "2 account(s) looked at, 1 would be rebuilt; --write does it, 0 can't be mended here.",
    ]
    assert shop.run("ledger", "rebuild", "billing:gate", status=1) == told
    assert shop.run("ledger", "rebuild", "billing:gate", "--write").splitlines() == [
        "bob credits: debt: 5 -> 0",
        "2 account(s) looked at, 1 rebuilt, 0 can't be mended here.",
    ]
    shop.run("ledger", "verify", "billing:gate")


def test_what_cannot_be_mended_is_said_and_ends_with_status_1(shop: Host) -> None:
    damage(shop, "DELETE FROM gatekeeper_holds WHERE id = 'ada-4'")
    damage(shop, "DELETE FROM gatekeeper_entries WHERE customer = 'bob' AND sequence = 2")
    shown = shop.run("ledger", "rebuild", "billing:gate", "--write", status=1).splitlines()
    mends_not = "which rebuilding does not mend"
    assert f"ada credits: held by open holds should be 25 and is 20, {mends_not}" in shown
    assert any(line.startswith("bob credits: not rebuilt: entries are missing") for line in shown)
    assert shown[-1] == "2 account(s) looked at, 0 rebuilt, 2 can't be mended here."


def test_a_customer_is_erased_after_a_question(shop: Host) -> None:
    asked = shop.run("customer", "erase", "billing:gate", "ada", status=1)
    assert "This can't be undone. [y/N]" in asked
    refused = shop.run("customer", "erase", "billing:gate", "ada", "--yes", status=1)
    assert "2 open hold(s)" in refused
    shown = shop.run("customer", "erase", "billing:gate", "ada", "--yes", "--force").splitlines()
    assert shown[0].startswith("The history goes on as erased_")
    assert shown[1:] == ["2 open hold(s) were given back."]
    gone = shop.run("customer", "erase", "billing:gate", "ada", "--yes", status=1)
    assert gone == "gatekeeper: Customer 'ada' is not known.\n"
    shop.run("ledger", "verify", "billing:gate")


def test_overage_that_is_never_billed_is_said(shop: Host) -> None:
    damage(
        shop,
        "INSERT INTO gatekeeper_usage (customer, meter, id, quantity, at, received_at) "
        "VALUES ('bob', 'overage', 'm', 2, 1, 1)",
    )
    shown = shop.run("customer", "erase", "billing:gate", "bob", "--yes", "--force")
    assert "1 use(s) of meters were not told to Stripe: they are not billed." in shown


async def pages(*customers: str) -> AsyncIterator[Verified]:
    """A page for each account; then it fails."""
    for customer in customers:
        yield Verified(((customer, "credits"),), ())
    raise ZeroDivisionError


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("customers", "said"),
    [
        ((), ""),
        (("ada",), ""),
        (("ada", "bob"), "Interrupted. Go on with: --after ada\n"),
        (("a b", "c d", "c d", "e"), "Interrupted. Go on with: --after 'c d'\n"),
    ],
)
async def test_a_run_that_is_interrupted_tells_where_to_go_on(
    capsys: pytest.CaptureFixture[str], customers: tuple[str, ...], said: str
) -> None:
    """Behind the last customer of whom every account is done."""
    with pytest.raises(ZeroDivisionError):
        async for _ in _shown(pages(*customers), 9, "Verifying"):
            pass
    assert capsys.readouterr().err == said


@pytest.mark.anyio
async def test_a_terminal_has_a_progress_bar_and_lines_in_its_place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    async def tell() -> None:
        async for page in _shown(pages("ada", "bob"), 2, "Verifying"):
            _say(page.keys[0][0])

    with pytest.raises(ZeroDivisionError):
        await tell()
    captured = capsys.readouterr()
    assert captured.out == "ada\nbob\n"
    assert "Verifying" in captured.err
    assert captured.err.count("\r\x1b[2K") >= 2
    assert "100%" in captured.err
