"""Accounts derived anew from their entries, their grants and their open holds."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import msgspec
from msgspec.structs import replace

from gatekeeper.ledger.books import (
    UNREADABLE,
    Books,
    Breach,
    Claim,
    Sums,
    instant_words,
    named,
    overlooks_holds,
    pending_of,
)
from gatekeeper.ledger.values import Account, Grant, GrantKind, LiveGrant, Received

WINDOW_KINDS: Final = frozenset({GrantKind.PLAN, GrantKind.TRIAL, GrantKind.OVERAGE})
"""The grants that windows were given, by which `received` can be derived anew."""


class Rebuilt(msgspec.Struct, frozen=True):
    """An account derived anew; None if `obstacles` say why it can't be."""

    account: Account | None
    obstacles: tuple[str, ...] = ()


def rebuild(books: Books) -> Rebuilt:
    """The account as its entries, its grants and its open holds say that it is.

    What they don't say is kept as it is; of an account that is lost it can't be had again: caps of
    the host, alerts, to which series a grant belongs, and what a minting grant may still make.
    Entries that are damaged themselves are no ground to build on: then nothing is derived.
    """
    entries = books.entries
    obstacles = tuple(_obstacles(books))
    if obstacles:
        return Rebuilt(None, obstacles)
    before = books.account or Account(books.customer, books.unit)
    instants = [at for at in (before.last_entry_at, entries.last_at) if at is not None]
    after = replace(
        before,
        posted=entries.posted,
        held=entries.held,
        debt=entries.debt,
        version=entries.last,
        grants=_grants(books, before),
        received=_received(books, before),
        last_entry_at=max(instants, default=None),
    )
    is_whole = after == books.account and not books.unreadable
    if is_whole and not overlooks_holds(after, books.holds):
        return Rebuilt(after)
    after = replace(
        after, revision=before.revision + 1, fresh=None, holds_due_at=books.holds.due_at
    )
    return Rebuilt(after)


def _obstacles(books: Books) -> Iterator[str]:
    entries = books.entries
    if not entries.is_whole:
        yield "entries are missing: they are not numbered from 1 on without gaps"
    if not 0 <= entries.held <= entries.posted or entries.debt < 0:
        yield (
            f"the entries come to posted={entries.posted}, held={entries.held}, "
            f"debt={entries.debt}, which no account can have"
        )
    if None in books.grants:
        yield "entries move credits without naming a grant"
    for grant_id in sorted(named(books.grants)):
        sums = books.grants[grant_id]
        if sums.remaining < 0 or sums.held < 0:
            yield f"the entries of grant {grant_id} come to less than nothing"
        if grant_id not in books.records:
            yield f"grant {grant_id} has no record"


def _grants(books: Books, before: Account) -> tuple[LiveGrant, ...]:
    """The grants that are packed, with what the entries say; then those that were lost."""
    grants: list[LiveGrant] = []
    for live in before.grants:
        sums, record = books.grants.get(live.id, Sums()), books.records.get(live.id)
        pending = live.pending if record is None else pending_of(record, sums)
        kept = replace(live, remaining=sums.remaining, held=sums.held, pending=pending)
        if kept.remaining or kept.held or kept.pending or kept.mints:
            grants.append(kept)
    there = {live.id for live in before.grants}
    lost = [
        _restored(record, books.grants.get(record.id, Sums()))
        for record in books.records.values()
        if record.id not in there
    ]
    restored = (live for live in lost if live.remaining or live.held or live.pending)
    return (*grants, *sorted(restored, key=lambda live: (live.created_at, live.id)))


def _restored(record: Grant, sums: Sums) -> LiveGrant:
    """A grant that is packed no more, from its record and its entries.

    One that makes credits comes back with what holds claim of it and makes nothing more: neither
    its meter nor how much it may still make is written anywhere else.
    """
    mints = record.kind is GrantKind.OVERAGE or record.amount is None
    pending = pending_of(record, sums)
    return LiveGrant(
        id=record.id,
        remaining=sums.remaining,
        created_at=record.created_at,
        held=sums.held,
        priority=record.priority,
        expires_at=record.expires_at,
        mints=mints,
        mint_left=0 if mints else None,
        pending=pending,
        starts_at=record.effective_at if pending else None,
        lapses=sums.revoked,
        returned=record.kind is GrantKind.RETURNED,
    )


def _received(books: Books, before: Account) -> dict[str, Received]:
    """What the windows were given. Where that is lost, their grants tell it, so that none is given
    anything twice; what they had left for the next one is forgotten."""
    if not books.is_lost and "received" not in books.unreadable:
        return before.received
    received: dict[str, Received] = {}
    for record in books.records.values():
        key, _, step = record.id.rpartition("/")
        if record.kind not in WINDOW_KINDS or not step.isdigit():
            continue
        series, _, start = key.rpartition("@")
        known = received.get(key)
        amount = record.amount
        if known is not None:
            amount = None if amount is None or known.amount is None else amount + known.amount
        received[key] = Received(
            amount,
            until=record.expires_at if series else None,
            series=series or key,
            start=_instant(start) if series else None,
        )
    return received


def _instant(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def find_differences(books: Books, after: Account) -> tuple[Breach, ...]:
    """What writing `after` would change: `found` is there now, `expected` will be."""
    before = books.account or Account(books.customer, books.unit)
    old = {live.id: live for live in before.grants}
    new = {live.id: live for live in after.grants}
    claims: list[Claim] = [
        (name, getattr(after, name), getattr(before, name))
        for name in ("posted", "held", "debt", "version")
    ]
    for grant_id in sorted({*old, *new}):
        was, is_now = old.get(grant_id), new.get(grant_id)
        claims.append((f"grant {grant_id}", _shown(is_now), _shown(was)))
    claims += ((f"the packed {column}", "derived anew", UNREADABLE) for column in books.unreadable)
    if after.last_entry_at != before.last_entry_at and after.last_entry_at is not None:
        was_at = instant_words(before.last_entry_at)
        claims.append(("last_entry_at", after.last_entry_at.isoformat(), was_at))
    if overlooks_holds(before, books.holds):
        words = instant_words(after.holds_due_at), instant_words(before.holds_due_at)
        claims.append(("holds_due_at", *words))
    if after.received != before.received:
        claims.append(("windows remembered", len(after.received), len(before.received)))
    return tuple(
        Breach(books.customer, books.unit, what, expected, found)
        for what, expected, found in claims
        if expected != found
    )


def _shown(live: LiveGrant | None) -> str:
    if live is None:
        return "not in the account"
    pending = f", {live.pending} pending" if live.pending else ""
    return f"{live.remaining} left, {live.held} held{pending}"
