"""What the database knows of the reconciliation: when it last ran, or since when it should have."""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from gatekeeper.storage.port import Transaction

NAME: Final = "reconciliation"
"""The name of this work in the database (`storage.progress`)."""


class LastRun(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the last run over all objects, in whichever process it was.

    Attributes:
        finished_at: when it ended; None: there never was one.
        since: since when there should be one: the database's first sight of its Stripe account.
    """

    finished_at: datetime | None
    since: datetime | None = None
    drift: int = 0
    unrepaired: int = 0


def last_run(tx: Transaction) -> LastRun | None:
    """The last run, or that there was none yet; None if not even that is known."""
    state = state_in(tx)
    since, finished = state.get("since", state.get("looked")), state.get("finished")
    if finished is None and since is None:
        return None
    return LastRun(
        finished_at=_moment(finished),
        since=_moment(since),
        drift=state.get("drift", 0),
        unrepaired=state.get("unrepaired", 0),
    )


def reconciled_at(tx: Transaction) -> datetime | None:
    """When the last run ended."""
    found = last_run(tx)
    return None if found is None else found.finished_at


def state_in(tx: Transaction) -> dict[str, Any]:
    """How far the reconciliation has come, as it keeps it; empty if it was never begun."""
    found = tx.progress.get(NAME)
    return {} if found is None else dict(msgspec.json.decode(found.state))


def expect(tx: Transaction) -> None:
    """Note that there should be runs from now on, if nothing is known of any."""
    if tx.progress.get(NAME) is None:
        now = tx.now()
        state = msgspec.json.encode({"since": int(now.timestamp())}).decode()
        tx.progress.lease(NAME, now, now, state=state)  # a lease that is over: nobody has it


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
