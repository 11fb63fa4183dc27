"""gringotts-api's side over HTTP: the same host app, whose work costs a credit by `charge(1)`.

It authenticates by an API key whose hash is looked up, as it ships; its charge is taken before the
work and given back if the handler raises. Its dependency and its engine are synchronous: FastAPI
runs them on its threads. Its `GET /balance` stands beside our `GET me`.

    DATABASE_URL=... python -m benchmarks.peers.gringotts_http CREDITS
"""

import json
import socket
import sys
import threading
import time

import gringotts
import uvicorn
from fastapi import Depends, FastAPI
from gringotts import auth, db, models
from sqlalchemy import func, select

_BATCH = 1_000


def main(credits_: int, customers: list[str]) -> None:
    """Make its tables and users, serve, and check the books when asked to."""
    db.Base.metadata.create_all(db.engine)
    with db.SessionLocal() as session:
        for first in range(0, len(customers), _BATCH):
            session.add_all(
                models.User(
                    username=name,
                    api_key_hash=auth.get_api_key_hash(name),
                    credits=credits_,
                    transactions=[
                        models.CreditTransaction(
                            amount=credits_, kind="grant", balance_after=credits_
                        )
                    ],
                )
                for name in customers[first : first + _BATCH]
            )
            session.commit()
    app = FastAPI()
    gringotts.init_app(app)

    charged = Depends(gringotts.charge(1))

    @app.post("/work")
    async def work(user: models.User = charged) -> dict[str, bool]:
        return {"done": bool(user.id)}

    # With its protocol named, or asyncio leaves Nagle's algorithm on, and each answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    serving = threading.Thread(target=server.run, args=([listener],), daemon=True)
    serving.start()
    while not server.started:
        time.sleep(0.01)
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    for line in sys.stdin:
        check(json.loads(line)["charged"])
        print(json.dumps({"fine": True}), flush=True)
    server.should_exit = True
    serving.join()


def check(charged: int) -> None:
    """Raise unless its ledger has as many charges, and its sums are right."""
    entry = models.CreditTransaction
    ledger = (
        select(entry.user_id, func.sum(entry.amount).label("sum"))
        .group_by(entry.user_id)
        .subquery()
    )
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


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.stdin.readline().split())
