"""What time alone does to an account, for those who have to come back in time."""

from datetime import datetime

from msgspec.structs import replace

from gatekeeper.ledger.values import Account, Change


def next_turn(account: Account, now: datetime) -> datetime | None:
    """The next instant at which time alone changes what the account has; None is never.

    Until then, and as long as the same is due to it, bringing it up to date changes nothing: no
    grant begins or expires, and none reaches the end of the window beyond which a canceled series
    does not live. (What is due has an end of its own: `Allotment.until`.)
    """
    instants = (
        instant
        for grant in account.grants
        if grant.remaining or grant.held or grant.pending or grant.mints
        for instant in (grant.starts_at, grant.window_end, grant.expires_at)
        if instant is not None and instant > now
    )
    return min(instants, default=None)


def holds_swept(account: Account, earliest: datetime | None) -> Change:
    """Note when the first of the open holds ends, after a look at all of them under the lock."""
    if account.holds_due_at == earliest:
        return Change(account)
    revision = account.revision + 1
    return Change(replace(account, holds_due_at=earliest, revision=revision))
