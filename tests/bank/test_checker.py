"""The checker itself: each rule finds the damage that it is there for; a sound bank has none."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from gatekeeper.ledger import GrantCredits, GrantKind
from gatekeeper.storage.migrations import upgrade
from gatekeeper.storage.sql.tables import metadata
from tests.bank.checker import check, report
from tests.bank.journal import SUFFIX, Journal
from tests.bank.opening import open_bank
from tests.bank.reading import execute, is_sqlite
from tests.bank.rules import RULES
from tests.bank.shop import add_row, host_engine, new_gate
from tests.services.postgres import PostgresServer, Psql, database_name

pytestmark = [pytest.mark.anyio, pytest.mark.unmeasured]

CUSTOMER: Final = "cold-000"
"""A subscriber."""

ACCOUNT: Final = f"customer = '{CUSTOMER}' AND unit = 'credits'"

DAMAGE: Final = {
    "posted is the sum of the entries": (
        f"UPDATE gatekeeper_accounts SET posted = posted + 1 WHERE {ACCOUNT}",
    ),
    "held is the sum of the entries": (
        f"UPDATE gatekeeper_accounts SET held = held + 1 WHERE {ACCOUNT}",
    ),
    "held is the sum of the open holds": (
        "UPDATE gatekeeper_holds SET status = 'released', ended_at = created_at WHERE id = 'open'",
    ),
    "debt is the sum of the entries": (
        f"UPDATE gatekeeper_accounts SET debt = debt + 1 WHERE {ACCOUNT}",
    ),
    "nothing is below zero": (f"UPDATE gatekeeper_accounts SET held = posted + 1 WHERE {ACCOUNT}",),
    "entries are numbered from 1 to the version": (
        f"DELETE FROM gatekeeper_entries WHERE sequence = 2 AND {ACCOUNT}",
    ),
    "nothing was ever below zero": (
        f"UPDATE gatekeeper_entries SET held_delta = 9999 WHERE sequence = 3 AND {ACCOUNT}",
    ),
    "entries are in the order of time": (
        "UPDATE gatekeeper_entries SET at = (SELECT max(b.at) FROM gatekeeper_entries b) "
        f"WHERE sequence = 1 AND {ACCOUNT}",
    ),
    "everything belongs to an account": (f"DELETE FROM gatekeeper_accounts WHERE {ACCOUNT}",),
    "a hold's entries sum up to what is left of it": (
        "UPDATE gatekeeper_holds SET amount = amount + 1 WHERE id = 'open'",
    ),
    "what a hold has captured is the sum of its captures": (
        "UPDATE gatekeeper_holds SET captured = captured - 1 WHERE id = 'captured'",
    ),
    "a hold has ended once, in one way": (
        "UPDATE gatekeeper_holds SET status = 'expired' WHERE id = 'released'",
    ),
    "nothing happens to a hold after its end": (
        "UPDATE gatekeeper_holds SET ended_at = created_at WHERE id = 'captured'",
    ),
    "entries name a hold of their account": (
        "UPDATE gatekeeper_entries SET hold_id = 'nobody' WHERE hold_id = 'released'",
    ),
    "no hold id twice": (
        "CREATE TABLE copied AS SELECT * FROM gatekeeper_holds WHERE id = 'released'",
        "UPDATE copied SET customer = 'cold-001'",
        "INSERT INTO gatekeeper_holds SELECT * FROM copied",
        "DROP TABLE copied",
    ),
    "an idempotency key of a reserve is spent once": (
        "UPDATE gatekeeper_holds SET feature = 'key-1' WHERE id IN ('captured', 'beside')",
    ),
    "a grant is given once, in full": (
        "UPDATE gatekeeper_grants SET amount = amount + 1 WHERE reason = 'once 1'",
    ),
    "entries name a grant of their account": (
        "UPDATE gatekeeper_entries SET grant_id = 'nobody' WHERE kind = 'grant' AND grant_id = "
        "(SELECT id FROM gatekeeper_grants WHERE reason = 'once 1')",
    ),
    "no reason grants twice": (
        "UPDATE gatekeeper_grants SET reason = 'once 1' WHERE reason = 'source 1'",
    ),
    "no source grants twice": (
        "DROP INDEX uq_gatekeeper_grants_source_key",
        "UPDATE gatekeeper_grants SET source_key = 'source-1'",
    ),
    "a capture beside a host's row is there exactly if the row is": (
        "DELETE FROM bank_rows WHERE kind = 'capture'",
    ),
    "a reserve beside a host's row is there exactly if the row is": (
        "DELETE FROM bank_rows WHERE kind = 'reserve'",
    ),
    "a grant beside a host's row is there exactly if the row is": (
        "DELETE FROM bank_rows WHERE kind = 'grant'",
    ),
    "a host's row names what is there": (
        "INSERT INTO bank_rows VALUES ('more', 'capture', 'nobody', 1)",
    ),
    "packed grants are the sums of their entries": (
        f"UPDATE gatekeeper_accounts SET grants = '[]' WHERE {ACCOUNT}",
    ),
    "packed grants hold what open holds claim": (
        "UPDATE gatekeeper_holds SET allocations = '[[\"nobody\", 7]]' WHERE id = 'open'",
    ),
    "a hold's allocations sum up to what is left of it": (
        "UPDATE gatekeeper_holds SET allocations = '[]' WHERE id = 'open'",
    ),
    "overage is billed once": ("DELETE FROM gatekeeper_usage",),
}
"""What breaks each rule (others too, perhaps)."""


async def _fill(url: str) -> None:
    """Make a small sound bank with something of everything."""
    await open_bank(url)
    async with new_gate(url) as gate, host_engine(url) as engine:
        for hold_id in ("open", "captured", "released"):
            await gate.reserve(CUSTOMER, "credits", 7, hold_id=hold_id)
        await gate.capture("captured", 5)
        await gate.release("released")
        await gate.grant(CUSTOMER, "credits", 10, reason="once 1")
        purchase = GrantCredits(
            grant_id="bought",
            amount=20,
            kind=GrantKind.TOP_UP,
            source_key="source-1",
            reason="source 1",
        )
        await gate.credits.grant(CUSTOMER, "credits", purchase)
        async with AsyncSession(engine) as session:
            await gate.reserve(
                *(CUSTOMER, "credits", 7),
                hold_id="beside",
                reference="booked,beside",
                session=session,
            )
            await add_row(session, "1", "reserve", "beside", 7)
            await gate.capture("beside", 5, session=session)
            await add_row(session, "2", "capture", "beside", 5)
            given = await gate.grant(CUSTOMER, "credits", 4, reason="beside 1", session=session)
            await add_row(session, "3", "grant", given.id, 4)
            await session.commit()
        beyond = await gate.reserve(CUSTOMER, "tokens", 500)
        await gate.capture(beyond.id)


FILLED: Final = [*(table.name for table in metadata.sorted_tables), "bank_rows"]


@pytest.fixture(scope="module")
def sound_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bank") / "sound.sqlite3"
    upgrade(f"sqlite:///{path}")
    asyncio.run(_fill(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="module")
def sound_postgres(postgres_server: PostgresServer) -> Iterator[str]:
    url = postgres_server.create_database()
    upgrade(url)
    asyncio.run(_fill(url))
    # Nothing checks what is written from here on.
    for name in ("available", "held", "debt"):
        constraint = f"ck_gatekeeper_accounts_{name}"
        asyncio.run(execute(url, f"ALTER TABLE gatekeeper_accounts DROP CONSTRAINT {constraint}"))
    kept = [f'CREATE TABLE sound."{name}" AS TABLE "{name}"' for name in FILLED]
    asyncio.run(execute(url, "CREATE SCHEMA sound", *kept))
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def bank(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A sound bank, to be damaged: a file of the test's own, or a database whose rows are put
    back."""
    if request.param == "sqlite":
        path = tmp_path / "bank.sqlite3"
        shutil.copyfile(request.getfixturevalue("sound_sqlite"), path)
        yield f"sqlite:///{path}"
        return
    url: str = request.getfixturevalue("sound_postgres")
    psql: Psql = request.getfixturevalue("psql")
    deletes = [f'DELETE FROM "{name}"' for name in FILLED]
    inserts = [f'INSERT INTO "{name}" TABLE sound."{name}"' for name in FILLED]
    psql.run("; ".join([*deletes, *inserts]), database=database_name(url))
    yield url


async def _damage(url: str, *statements: str) -> None:
    """Damage a database behind the library's back."""
    if is_sqlite(url):
        statements = ("PRAGMA ignore_check_constraints = ON", *statements)
    await execute(url, *statements)


async def test_a_sound_bank_has_no_breach(bank: str) -> None:
    breaches = await check(bank)
    assert not breaches, await report(bank, breaches)


def test_every_rule_has_its_damage() -> None:
    assert {rule.name for rule in RULES} <= DAMAGE.keys()


@pytest.mark.parametrize("rule", DAMAGE)
async def test_each_rule_finds_its_damage(bank: str, rule: str) -> None:
    await _damage(bank, *DAMAGE[rule])
    breaches = await check(bank)
    assert rule in {breach.rule for breach in breaches}
    assert rule in await report(bank, breaches)


# -- what was told --------------------------------------------------------------------------------

HOLD: Final = {"status": "captured", "amount": 7, "captured": 5}
GRANT: Final = {"customer": CUSTOMER, "unit": "credits", "amount": 10, "reason": "once 1"}
RESERVE: Final = {"customer": CUSTOMER, "unit": "credits", "amount": 7, "partial": False}


def _story(journal: Journal, *, without: str = "") -> None:
    """All that the workers of the sound bank would have asked and been told, but for one."""
    for hold_id in ("open", "captured", "released", "beside"):
        if without != hold_id:
            number = journal.ask("reserve", hold=hold_id, **RESERVE)
            journal.told(number, hold=hold_id, status="open", amount=7, captured=0)
    for hold_id in ("captured", "beside"):
        if without != "capture":
            number = journal.ask("capture", hold=hold_id, amount=5, overrun="refuse")
            journal.told(number, hold=hold_id, **HOLD)
    if without != "release":
        number = journal.ask("release", hold="released")
        journal.told(number, hold="released", status="released", amount=7, captured=0)
    for amount, reason in ((10, "once 1"), (20, "source 1"), (4, "beside 1")):
        if without != reason:
            journal.ask("grant", **{**GRANT, "amount": amount, "reason": reason})


Telling = Callable[[Journal], object]


def _told(what: str, fields: dict[str, Any], answer: dict[str, Any]) -> Telling:
    return lambda journal: journal.told(journal.ask(what, **fields), **answer)


LIES: Final[dict[str, tuple[str, Telling]]] = {
    "a hold that was told is there": (
        "",
        _told("reserve", {"hold": "lost", **RESERVE}, {"hold": "lost", **HOLD}),
    ),
    "a hold has no less than was told": (
        "",
        _told("extend", {"hold": "open", "add": 1}, {"hold": "open", **HOLD, "amount": 8}),
    ),
    "a hold stays as it has ended": (
        "",
        _told("release", {"hold": "open"}, {"hold": "open", **HOLD, "captured": 0}),
    ),
    "a grant that was told is there": ("", _told("grant", GRANT, {"grant": "lost"})),
    "a grant that was told is there as it was asked for": (
        "",
        _told("grant", GRANT, {"grant": "bought"}),
    ),
    "a revocation that was told is there": (
        "",
        _told("revoke", {"grant": "bought"}, {"lapsed": 3}),
    ),
    "one resolver ends a hold": (
        "",
        _told("capture", {"hold": "captured", "amount": None}, {"hold": "captured", **HOLD}),
    ),
    "one key stands for one grant": (
        "",
        lambda journal: [
            _told("grant", {**GRANT, "key": "k"}, {"grant": grant})(journal)
            for grant in ("bought", "other")
        ],
    ),
    "a hold was asked for once": ("open", lambda journal: None),
    "a hold is as it was asked for": (
        "open",
        lambda journal: journal.ask("reserve", hold="open", **{**RESERVE, "unit": "tokens"}),
    ),
    "a hold claims no more than was asked for": (
        "open",
        lambda journal: journal.ask("reserve", hold="open", **{**RESERVE, "amount": 6}),
    ),
    "a hold claims all that was told": (
        "",
        _told("extend", {"hold": "open", "add": 3}, {"hold": "open", **HOLD, "captured": 0}),
    ),
    "no more is captured than was asked for": ("capture", lambda journal: None),
    "all that was told to be captured is there": (
        "",
        _told(
            "capture",
            {"hold": "open", "amount": 2, "overrun": "refuse"},
            {"hold": "open", "status": "open", "amount": 7, "captured": 0},
        ),
    ),
    "what was released was asked to be": ("release", lambda journal: None),
    "a grant was asked for": ("once 1", lambda journal: None),
    "no call hangs or fails without an answer": ("", lambda journal: journal.fault("it hangs")),
}
"""What breaks each rule about what was told: what is left out of the story, or added to it."""


async def test_a_true_story_has_no_breach(bank: str, tmp_path: Path) -> None:
    await _without_tokens(bank)
    _story(Journal(tmp_path / f"w{SUFFIX}"))
    breaches = await check(bank, tmp_path)
    assert not breaches, await report(bank, breaches)


async def test_a_line_that_a_kill_has_cut_is_as_if_it_was_not_there(
    bank: str, tmp_path: Path
) -> None:
    await _without_tokens(bank)
    path = tmp_path / f"w{SUFFIX}"
    _story(Journal(path))
    with path.open("a") as journal:
        journal.write('{"n": 3, "told": {"hold": "nob')
    assert not await check(bank, tmp_path)


@pytest.mark.parametrize("bank", ["sqlite"], indirect=True)  # the rows are the same everywhere
@pytest.mark.parametrize("rule", LIES)
async def test_each_rule_about_what_was_told_finds_its_lie(
    bank: str, tmp_path: Path, rule: str
) -> None:
    await _without_tokens(bank)
    without, lie = LIES[rule]
    journal = Journal(tmp_path / f"w{SUFFIX}")
    _story(journal, without=without)
    lie(journal)
    assert rule in {breach.rule for breach in await check(bank, tmp_path)}


async def _without_tokens(url: str) -> None:
    """Leave out what the story does not tell."""
    await _damage(
        url,
        *(
            f"DELETE FROM gatekeeper_{table} WHERE unit = 'tokens'"
            for table in ("entries", "grants", "holds", "accounts")
        ),
        "DELETE FROM gatekeeper_usage",
    )
