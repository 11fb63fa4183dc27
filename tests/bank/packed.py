"""What is packed into the rows (grants in an account, allocations in a hold) against the entries,
and what is billed for overage against the captures. Read as plain JSON."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from tests.bank.reading import Row

ACCOUNTS: Final = "SELECT customer, unit, posted, held, grants FROM gatekeeper_accounts"
OPEN_HOLDS: Final = (
    "SELECT customer, unit, id, amount, captured, allocations FROM gatekeeper_holds "
    "WHERE status = 'open'"
)
BY_GRANT: Final = """
SELECT customer, unit, grant_id, sum(posted_delta) AS posted, sum(held_delta) AS held
FROM gatekeeper_entries WHERE grant_id IS NOT NULL GROUP BY customer, unit, grant_id
"""
METERED: Final = """
SELECT e.customer, e.unit, e.sequence, -e.posted_delta AS amount FROM gatekeeper_entries e
JOIN gatekeeper_grants g ON g.customer = e.customer AND g.unit = e.unit AND g.id = e.grant_id
WHERE e.kind = 'capture' AND g.kind = 'overage'
"""
BILLED: Final = "SELECT customer, id, quantity FROM gatekeeper_usage"

QUERIES: Final = (ACCOUNTS, OPEN_HOLDS, BY_GRANT, METERED, BILLED)

Found = tuple[str, Row]
"""The name of a rule and the row that breaks it."""


def breaches(rows: list[list[Row]]) -> Iterator[Found]:
    """The breaches in the rows of `QUERIES`."""
    accounts, open_holds, by_grant, metered, billed = rows
    yield from _grants(accounts, by_grant)
    yield from _allocations(accounts, open_holds)
    yield from _bills(metered, billed)


def _key(row: Row) -> tuple[str, str]:
    return row["customer"], row["unit"]


def _live(account: Row) -> dict[str, tuple[int, int]]:
    """What each grant of an account has remaining and held. A packed grant begins with its id and
    what remains, then comes when it was made, then what is held."""
    return {grant[0]: (grant[1], grant[3]) for grant in json.loads(account["grants"])}


def _grants(accounts: list[Row], by_grant: list[Row]) -> Iterator[Found]:
    wanted: dict[tuple[str, str], dict[str, tuple[int, int]]] = defaultdict(dict)
    for row in by_grant:
        remaining, held = int(row["posted"] - row["held"]), int(row["held"])
        if remaining or held:
            wanted[_key(row)][row["grant_id"]] = (remaining, held)
    for account in accounts:
        packed = {id_: amounts for id_, amounts in _live(account).items() if any(amounts)}
        if packed != wanted[_key(account)]:
            yield (
                "packed grants are the sums of their entries",
                {**_named(account), "packed": packed, "by_entries": wanted[_key(account)]},
            )


def _allocations(accounts: list[Row], open_holds: list[Row]) -> Iterator[Found]:
    claimed: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for hold in open_holds:
        allocations: list[tuple[str, int]] = json.loads(hold["allocations"])
        for grant_id, amount in allocations:
            claimed[_key(hold)][grant_id] += amount
        if sum(amount for _, amount in allocations) != hold["amount"] - hold["captured"]:
            yield "a hold's allocations sum up to what is left of it", dict(hold)
    for account in accounts:
        held = {id_: held for id_, (_, held) in _live(account).items() if held}
        if held != claimed[_key(account)]:
            yield (
                "packed grants hold what open holds claim",
                {**_named(account), "packed": held, "claimed": dict(claimed[_key(account)])},
            )


def _bills(metered: list[Row], billed: list[Row]) -> Iterator[Found]:
    sent = Counter(
        ((row["customer"], *_overage(row["id"])), int(row["quantity"])) for row in billed
    )
    used = Counter(
        ((row["customer"], row["unit"], int(row["sequence"])), int(row["amount"]))
        for row in metered
    )
    for identifier, amount in (sent - used).keys() | (used - sent).keys():
        customer, unit, sequence = identifier
        yield (
            "overage is billed once",
            {
                "customer": customer,
                "unit": unit,
                "entry": f"{sequence}: {amount}",
                "billed": sent[identifier, amount],
                "used": used[identifier, amount],
            },
        )


def _overage(usage_id: str) -> tuple[str, int]:
    """The unit and the entry that usage of a meter names in its id, `overage/<unit>/<entry>`."""
    _, unit, sequence = usage_id.split("/")
    return unit, int(sequence)


def _named(account: Row) -> Row:
    return {"customer": account["customer"], "unit": account["unit"]}
