"""gringotts-api's side: `crud.charge_user`, as its `charge(1)` dependency calls it.

It has no holds: a charge is taken before the work, in one transaction, and given back by another
if the handler raises. So one charge stands beside our two commands, in its favour: half the commits
and half the rows. It has no grants and no expiry either. Equal: the balance never goes below zero,
each charge writes a row of its ledger in the same transaction, and a commit is durable (SQLite in
WAL mode with its default, synchronous FULL; the same PostgreSQL).

The user is looked up by its primary key, not by the hash of an API key, which its dependency does.
The engine is the one it ships, with SQLAlchemy's default pool; it is synchronous, and each charge
has a session of its own, as in its dependency.

    DATABASE_URL=... python -m benchmarks.peers.gringotts_load CREDITS
"""

import sys

from gringotts import crud, db, models
from sqlalchemy import func, select

from benchmarks.peers.threads import serve

_BATCH = 1_000


def main(credits_: int, customers: list[str]) -> None:
    """Make its tables and users, then run what is asked for."""
    db.Base.metadata.create_all(db.engine)
    users: dict[str, int] = {}
    with db.SessionLocal() as session:
        for first in range(0, len(customers), _BATCH):
            batch = [
                models.User(
                    username=name,
                    api_key_hash=name,
                    credits=credits_,
                    transactions=[
                        models.CreditTransaction(
                            amount=credits_, kind="grant", balance_after=credits_
                        )
                    ],
                )
                for name in customers[first : first + _BATCH]
            ]
            session.add_all(batch)
            session.commit()
            users.update((user.username, user.id) for user in batch)
    charged = 0

    def charge(customer: str) -> None:
        session = db.SessionLocal()
        try:
            user = crud.get_user(session, users[customer])
            if user is None or not crud.charge_user(session, user, 1, endpoint="/benchmark"):
                raise RuntimeError("a charge was refused")
        finally:
            session.close()

    def check(done: int) -> None:
        nonlocal charged
        charged += done
        entry = models.CreditTransaction
        sums = select(entry.user_id, func.sum(entry.amount).label("sum")).group_by(entry.user_id)
        ledger = sums.subquery()
        with db.SessionLocal() as session:
            wrong = session.scalar(
                select(func.count())
                .select_from(models.User)
                .join(ledger, ledger.c.user_id == models.User.id)
                .where(ledger.c.sum != models.User.credits)
            )
            found = session.scalar(select(func.count()).where(entry.kind == "charge"))
        if wrong or found != charged:
            raise AssertionError(f"{charged} charges were made, {found} found, {wrong} sums wrong")

    serve(charge, check)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.stdin.readline().split())
