"""Reports: their months, what is counted where, and files that no spreadsheet computes."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from gatekeeper.errors import InvalidInputError
from gatekeeper.services.reports import PlatformRow, ReportDesk, as_csv, span_of
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.port import Store, Transaction

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 21, 23, tzinfo=UTC)


def month(year: int, number: int) -> datetime:
    return datetime(year, number, 1, tzinfo=UTC)


def test_the_months_of_a_report() -> None:
    span = span_of(NOW, None, None)
    assert (span.since, span.until) == (month(2025, 12), month(2026, 12))
    span = span_of(NOW, "2026-12", "2027-01")
    assert (span.since, span.until) == (month(2026, 12), month(2027, 2))
    assert span.holds(month(2026, 12))
    assert not span.holds(month(2027, 2))
    assert span_of(NOW, None, "2020-01").since == month(2019, 2)


@pytest.mark.parametrize(
    ("since", "until"),
    [
        *(("2026-13", None), ("", None), ("2026-1-1", None), ("0001-01", None)),
        *(("9999-12", "9999-12"), ("2026-02", "2026-01"), ("2020-01", "2023-01")),
    ],
)
def test_what_no_report_is_made_of(since: str | None, until: str | None) -> None:
    with pytest.raises(InvalidInputError):
        span_of(NOW, since, until)


def test_no_cell_is_a_formula() -> None:
    class Row(msgspec.Struct):
        name: str
        amount_minor: int

    rows = [Row(text, -5) for text in ("=1+1", "+1", "-1", "@sum", "\tx", 'a,"b"', "plain")]
    lines = as_csv(rows, Row).split("\r\n")
    assert lines[0] == "name,amount_minor"
    cells = ["'=1+1", "'+1", "'-1", "'@sum", "'\tx", '"a,""b"""', "plain"]
    assert lines[1:-1] == [f"{cell},-5" for cell in cells]


ROWS: list[tuple[str, int, int, dict[str, int]]] = [
    ("charge", 1_000, 30, {"charges_minor": 1_000, "fees_minor": -30, "net_minor": 970}),
    ("refund", -400, 0, {"refunds_minor": -400, "net_minor": -400}),
    ("refund_failure", 400, 0, {"refunds_minor": 400, "net_minor": 400}),
    ("dispute", -600, 15, {"disputes_minor": -600, "fees_minor": -15, "net_minor": -615}),
    ("dispute_reversal", 600, 0, {"disputes_minor": 600, "net_minor": 600}),
    ("fee", -7, 0, {"fees_minor": -7, "net_minor": -7}),
    ("platform_earning", 100, 0, {"commissions_minor": 100, "net_minor": 100}),
    ("transfer", -900, 0, {"transfers_minor": -900, "net_minor": -900}),
    ("transfer_reversal", 900, 0, {"transfers_minor": 900, "net_minor": 900}),
    ("payout", -500, 0, {"payouts_minor": -500, "net_minor": 0}),
    ("topup", 50, 0, {"other_minor": 50, "net_minor": 50}),
]


def movement(number: int, category: str, amount: int, fee: int, at: datetime) -> MirrorObject:
    facts: dict[str, Any] = {"reporting_category": category, "fee": fee, "net": amount - fee}
    return MirrorObject(
        kind="balance_transaction",
        id=f"txn_{number:04}",
        amount_minor=amount,
        currency="eur",
        created_at=at,
        facts=msgspec.json.encode(facts).decode(),
        seen_at=NOW,
    )


async def test_each_movement_is_counted_in_its_column_and_month(memory_store: Store) -> None:
    desk, span = ReportDesk(memory_store), span_of(NOW, "2026-10", "2026-11")
    sums: dict[str, int] = {}
    for number, (category, amount, fee, counted) in enumerate(ROWS):
        row = movement(number, category, amount, fee, NOW)
        await memory_store.write(lambda tx, row=row: tx.mirror.put(row))  # type: ignore[misc]
        for name, change in counted.items():
            sums[name] = sums.get(name, 0) + change
        (shown,) = await desk.platform(span)
        wanted = PlatformRow(month="2026-11", currency="eur", **sums)
        assert shown == wanted, category


async def test_long_reports_are_read_a_part_at_a_time(memory_store: Store) -> None:
    """And what lies outside of its months is not counted."""

    def fill(tx: Transaction) -> None:
        for number in range(1_100):
            tx.mirror.put(movement(number, "charge", 1, 0, month(2026, 10)))
        for number, at in enumerate((month(2026, 9), month(2026, 12)), 5_000):
            tx.mirror.put(movement(number, "charge", 9, 0, at))

    await memory_store.write(fill)
    desk = ReportDesk(memory_store)
    (shown,) = await desk.platform(span_of(NOW, "2026-10", "2026-11"))
    assert (shown.month, shown.charges_minor) == ("2026-10", 1_100)
