"""escrowmint's side: `reserve` and `commit`, each one Lua script on a Redis.

The closest that it has to a pair. Not equal, each time in its favour: what it has committed is gone
with the Redis (unless that writes an append-only file, which a second row does), it keeps no
entries (a receipt for a day, no history), and it has no grants, expiry of credits or debt. Equal: a
hold has a time to live, ends once, and is never made beyond what is there.

Its client is synchronous: one client and its connection pool, shared by the threads.

    python -m benchmarks.peers.escrowmint_load REDIS_URL CREDITS CUSTOMER ...
"""

import sys

import redis
from escrowmint import Client

from benchmarks.peers.threads import serve

_TTL_MS = 300_000


def main(url: str, credits_: int, customers: list[str]) -> None:
    """Give the customers their credits, then run what is asked for."""
    client = Client.from_url(url)
    for customer in customers:
        client.top_up(customer, credits_)
    spent = 0
    reader = redis.Redis.from_url(url)

    def pair(customer: str) -> None:
        reservation = client.reserve(customer, 1, ttl_ms=_TTL_MS)
        if not client.commit(customer, reservation.reservation_id).applied:
            raise RuntimeError("a commit was not applied")

    def check(done: int) -> None:
        nonlocal spent
        spent += done
        with reader.pipeline(transaction=False) as pipeline:
            for customer in customers:
                pipeline.hmget(f"escrowmint:{{{customer}}}:state", "available", "reserved")
            states = [(int(available), int(held)) for available, held in pipeline.execute()]
        left = sum(available for available, _ in states)
        if left != len(customers) * credits_ - spent or any(held for _, held in states):
            raise AssertionError(f"{spent} pairs were done, but {left} credits are left")

    serve(pair, check)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.stdin.readline().split())
