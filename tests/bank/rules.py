"""What must be true of the database at every moment, each rule as one SQL query for its breaches.

The SQL runs on SQLite and PostgreSQL alike. Every row that a query returns is a breach.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Rule:
    """A query that returns the breaches of one rule, with `customer` and `unit` among its columns
    where it is about an account."""

    name: str
    sql: str


_SUMS: Final = """
(SELECT customer, unit, sum(posted_delta) AS posted, sum(held_delta) AS held,
   sum(debt_delta) AS debt, count(*) AS entries, min(sequence) AS first, max(sequence) AS last
 FROM gatekeeper_entries GROUP BY customer, unit)
"""
_OPEN: Final = """
(SELECT customer, unit, sum(amount - captured) AS held FROM gatekeeper_holds
 WHERE status = 'open' GROUP BY customer, unit)
"""
_BY_HOLD: Final = """
(SELECT customer, hold_id, sum(held_delta) AS held, max(at) AS last_at,
   count(DISTINCT unit) AS units, min(unit) AS unit,
   sum(CASE WHEN kind = 'capture' THEN -posted_delta ELSE 0 END) AS captured,
   sum(CASE WHEN kind = 'capture' AND posted_delta <> held_delta THEN 1 ELSE 0 END) AS uneven,
   sum(CASE WHEN kind = 'hold' THEN 1 ELSE 0 END) AS claims,
   sum(CASE WHEN kind = 'release' THEN 1 ELSE 0 END) AS releases,
   sum(CASE WHEN kind = 'hold_expired' THEN 1 ELSE 0 END) AS expiries
 FROM gatekeeper_entries WHERE hold_id IS NOT NULL GROUP BY customer, hold_id)
"""

_ACCOUNTS: Final = (
    Rule(
        "posted is the sum of the entries",
        f"""
        SELECT a.customer, a.unit, a.posted, s.posted AS by_entries
        FROM gatekeeper_accounts a
        LEFT JOIN {_SUMS} s ON s.customer = a.customer AND s.unit = a.unit
        WHERE a.posted <> coalesce(s.posted, 0)
        """,
    ),
    Rule(
        "held is the sum of the entries",
        f"""
        SELECT a.customer, a.unit, a.held, s.held AS by_entries
        FROM gatekeeper_accounts a
        LEFT JOIN {_SUMS} s ON s.customer = a.customer AND s.unit = a.unit
        WHERE a.held <> coalesce(s.held, 0)
        """,
    ),
    Rule(
        "held is the sum of the open holds",
        f"""
        SELECT a.customer, a.unit, a.held, o.held AS by_holds
        FROM gatekeeper_accounts a
        LEFT JOIN {_OPEN} o ON o.customer = a.customer AND o.unit = a.unit
        WHERE a.held <> coalesce(o.held, 0)
        """,
    ),
    Rule(
        "debt is the sum of the entries",
        f"""
        SELECT a.customer, a.unit, a.debt, s.debt AS by_entries
        FROM gatekeeper_accounts a
        LEFT JOIN {_SUMS} s ON s.customer = a.customer AND s.unit = a.unit
        WHERE a.debt <> coalesce(s.debt, 0)
        """,
    ),
    Rule(
        "nothing is below zero",
        """
        SELECT customer, unit, posted, held, debt FROM gatekeeper_accounts
        WHERE posted - held < 0 OR held < 0 OR debt < 0
        """,
    ),
    Rule(
        "entries are numbered from 1 to the version",
        f"""
        SELECT a.customer, a.unit, a.version, s.entries, s.first, s.last
        FROM gatekeeper_accounts a
        LEFT JOIN {_SUMS} s ON s.customer = a.customer AND s.unit = a.unit
        WHERE a.version <> coalesce(s.entries, 0)
          OR (a.version > 0 AND (s.first <> 1 OR s.last <> a.version))
        """,
    ),
    Rule(
        "nothing was ever below zero",
        """
        SELECT customer, unit, sequence, available, held, debt FROM (
          SELECT customer, unit, sequence,
            sum(posted_delta - held_delta) OVER w AS available,
            sum(held_delta) OVER w AS held, sum(debt_delta) OVER w AS debt
          FROM gatekeeper_entries WINDOW w AS (PARTITION BY customer, unit ORDER BY sequence)
        ) h WHERE available < 0 OR held < 0 OR debt < 0
        """,
    ),
    Rule(
        "entries are in the order of time",
        """
        SELECT customer, unit, sequence FROM (
          SELECT customer, unit, sequence, at,
            lag(at) OVER (PARTITION BY customer, unit ORDER BY sequence) AS before
          FROM gatekeeper_entries
        ) h WHERE at < before
        """,
    ),
    Rule(
        "everything belongs to an account",
        """
        SELECT x.customer, x.unit, x.what, x.id FROM (
          SELECT customer, unit, 'entry' AS what, kind AS id FROM gatekeeper_entries
          UNION ALL SELECT customer, unit, 'hold', id FROM gatekeeper_holds
          UNION ALL SELECT customer, unit, 'grant', id FROM gatekeeper_grants
        ) x
        LEFT JOIN gatekeeper_accounts a ON a.customer = x.customer AND a.unit = x.unit
        WHERE a.customer IS NULL
        """,
    ),
)

_HOLDS: Final = (
    Rule(
        "a hold's entries sum up to what is left of it",
        f"""
        SELECT h.customer, h.unit, h.id AS hold, h.status, h.amount, h.captured,
          e.held AS by_entries
        FROM gatekeeper_holds h
        LEFT JOIN {_BY_HOLD} e ON e.customer = h.customer AND e.hold_id = h.id
        WHERE coalesce(e.held, 0)
          <> CASE WHEN h.status = 'open' THEN h.amount - h.captured ELSE 0 END
        """,
    ),
    Rule(
        "what a hold has captured is the sum of its captures",
        f"""
        SELECT h.customer, h.unit, h.id AS hold, h.captured, e.captured AS by_entries
        FROM gatekeeper_holds h
        LEFT JOIN {_BY_HOLD} e ON e.customer = h.customer AND e.hold_id = h.id
        WHERE h.captured <> coalesce(e.captured, 0) OR e.uneven > 0
          OR h.captured < 0 OR h.captured > h.amount
        """,
    ),
    Rule(
        "a hold has ended once, in one way",
        f"""
        SELECT h.customer, h.unit, h.id AS hold, h.status, e.claims, e.releases, e.expiries
        FROM gatekeeper_holds h
        LEFT JOIN {_BY_HOLD} e ON e.customer = h.customer AND e.hold_id = h.id
        WHERE h.status NOT IN ('open', 'captured', 'released', 'expired')
          OR (h.status = 'open') <> (h.ended_at IS NULL)
          OR (h.status = 'open' AND e.releases + e.expiries > 0)
          OR (h.status = 'expired' AND e.releases > 0)
          OR (h.status IN ('captured', 'released') AND e.expiries > 0)
          OR coalesce(e.claims, 0) = 0
        """,
    ),
    Rule(
        "nothing happens to a hold after its end",
        f"""
        SELECT h.customer, h.unit, h.id AS hold, h.status, h.ended_at, e.last_at
        FROM gatekeeper_holds h
        JOIN {_BY_HOLD} e ON e.customer = h.customer AND e.hold_id = h.id
        WHERE e.last_at > h.ended_at OR h.ended_at < h.created_at
        """,
    ),
    Rule(
        "entries name a hold of their account",
        f"""
        SELECT e.customer, e.unit, e.hold_id AS hold, h.unit AS unit_of_hold
        FROM {_BY_HOLD} e
        LEFT JOIN gatekeeper_holds h ON h.customer = e.customer AND h.id = e.hold_id
        WHERE h.id IS NULL OR h.unit <> e.unit OR e.units > 1
        """,
    ),
    Rule(
        "no hold id twice",
        """
        SELECT min(customer) AS customer, min(unit) AS unit, id AS hold, count(*) AS times
        FROM gatekeeper_holds GROUP BY id HAVING count(*) > 1
        """,
    ),
    Rule(
        "an idempotency key of a reserve is spent once",
        # `feature` is the key. Its second hold may only begin when the first has ended with
        # nothing spent, or its time was over.
        """
        SELECT a.customer, a.unit, a.feature, a.id AS hold, b.id AS other, a.status, a.captured
        FROM gatekeeper_holds a
        JOIN gatekeeper_holds b ON b.customer = a.customer AND b.feature = a.feature
          AND b.id <> a.id AND b.created_at >= a.created_at
        WHERE a.feature LIKE 'key-%' AND (
          a.captured > 0 OR b.created_at < CASE
            WHEN a.ended_at < a.expires_at THEN a.ended_at ELSE a.expires_at END)
        """,
    ),
)

_GRANTS: Final = (
    Rule(
        "a grant is given once, in full",
        """
        SELECT g.customer, g.unit, g.id AS grant_id, g.amount, count(e.sequence) AS times,
          sum(e.posted_delta) AS by_entries
        FROM gatekeeper_grants g
        LEFT JOIN gatekeeper_entries e ON e.customer = g.customer AND e.unit = g.unit
          AND e.grant_id = g.id AND e.kind = 'grant'
        WHERE g.amount IS NOT NULL AND g.effective_at IS NULL
          AND g.kind IN ('plan', 'top_up', 'manual', 'promotional')
        GROUP BY g.customer, g.unit, g.id, g.amount
        HAVING count(e.sequence) <> 1 OR sum(e.posted_delta) <> g.amount
        """,
    ),
    Rule(
        "entries name a grant of their account",
        """
        SELECT e.customer, e.unit, e.sequence, e.grant_id FROM gatekeeper_entries e
        LEFT JOIN gatekeeper_grants g ON g.customer = e.customer AND g.unit = e.unit
          AND g.id = e.grant_id
        WHERE e.grant_id IS NOT NULL AND g.id IS NULL
        """,
    ),
    Rule(
        "no reason grants twice",
        # Each wish of a worker to grant has a reason of its own, and a repeated one has the same.
        """
        SELECT min(customer) AS customer, min(unit) AS unit, reason, count(*) AS times
        FROM gatekeeper_grants
        WHERE reason LIKE 'gift %' OR reason LIKE 'source %' OR reason LIKE 'once %'
          OR reason LIKE 'beside %'
        GROUP BY reason HAVING count(*) > 1
        """,
    ),
    Rule(
        "no source grants twice",
        """
        SELECT min(customer) AS customer, min(unit) AS unit, source_key, count(*) AS times
        FROM gatekeeper_grants WHERE source_key IS NOT NULL GROUP BY source_key
        HAVING count(*) > 1
        """,
    ),
)

_HOST: Final = (
    Rule(
        "a capture beside a host's row is there exactly if the row is",
        f"""
        SELECT h.customer, h.unit, h.id AS hold, h.status, e.captured AS by_entries,
          r.amount AS by_rows
        FROM gatekeeper_holds h
        LEFT JOIN {_BY_HOLD} e ON e.customer = h.customer AND e.hold_id = h.id
        LEFT JOIN (SELECT ref, sum(amount) AS amount FROM bank_rows WHERE kind = 'capture'
          GROUP BY ref) r ON r.ref = h.id
        WHERE CASE WHEN h.reference LIKE '%beside%' THEN coalesce(e.captured, 0) ELSE 0 END
          <> coalesce(r.amount, 0)
        """,
    ),
    Rule(
        "a reserve beside a host's row is there exactly if the row is",
        """
        SELECT h.customer, h.unit, h.id AS hold, h.status, r.id AS row_id
        FROM gatekeeper_holds h
        LEFT JOIN bank_rows r ON r.kind = 'reserve' AND r.ref = h.id
        WHERE coalesce(h.reference LIKE '%booked%', 1 = 0) <> (r.id IS NOT NULL)
        """,
    ),
    Rule(
        "a grant beside a host's row is there exactly if the row is",
        """
        SELECT g.customer, g.unit, g.id AS grant_id, g.reason, r.id AS row_id
        FROM gatekeeper_grants g
        LEFT JOIN bank_rows r ON r.kind = 'grant' AND r.ref = g.id
        WHERE coalesce(g.reason LIKE '%beside%', 1 = 0) <> (r.id IS NOT NULL)
        """,
    ),
    Rule(
        "a host's row names what is there",
        """
        SELECT r.id AS row_id, r.kind, r.ref FROM bank_rows r
        LEFT JOIN gatekeeper_holds h ON h.id = r.ref
        LEFT JOIN gatekeeper_grants g ON g.id = r.ref
        WHERE CASE WHEN r.kind = 'grant' THEN g.id ELSE h.id END IS NULL
        """,
    ),
)

RULES: Final = (*_ACCOUNTS, *_HOLDS, *_GRANTS, *_HOST)
