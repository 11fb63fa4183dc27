"""What callers may say of a reserve and of a grant, and how it becomes a request."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Literal, Required, TypedDict, Unpack

from uuid_utils.compat import uuid7

from gatekeeper.catalog import Measures
from gatekeeper.errors import InvalidAmountError, InvalidInputError
from gatekeeper.ledger import Change, GrantCredits, GrantKind, Overrun, Revoke
from gatekeeper.services.customers import check_text
from gatekeeper.services.ledger.metadata import metadata_text
from gatekeeper.services.ledger.reserving import ReserveRequest
from gatekeeper.types import check_id

MAX_PRIORITY: Final = 32_767
"""The largest and, below zero, the smallest priority of a grant."""


class ReserveOptions(TypedDict, total=False):
    """What a reserve can be told beside what it holds; see `ReserveRequest`."""

    hold_id: str
    ttl: timedelta
    partial: bool
    idempotency_key: str | None
    once: bool
    actor: str | None
    feature: str
    reference: str | None
    scope: str
    metadata: Mapping[str, str] | None


class SettleOptions(TypedDict, total=False):
    """What every command on a hold can be told: whose it is (which saves a look, and is needed
    where several customers have a hold of the same id), and a key that makes it safe to repeat."""

    customer: str | None
    idempotency_key: str | None


class CapOptions(TypedDict, total=False):
    """What a cap can be told: the part of the account that it is for, a team ("design") or a member
    in it ("design/ann"), who sets it, and a key that makes it safe to repeat."""

    scope: str
    actor: str | None
    idempotency_key: str | None


class CaptureOptions(SettleOptions, total=False):
    """What a capture can be told: what happens to more than is held, and whether it is the last."""

    overrun: Overrun
    final: bool


class ExtendOptions(SettleOptions, total=False):
    """What an extension can be told: how much more to claim, in the unit's steps."""

    add_amount: int


class GrantOptions(TypedDict, total=False):
    """What a grant by hand can be told; see `ledger.GrantCredits`."""

    reason: Required[str]
    actor: str | None
    priority: int
    effective_at: datetime | None
    expires_at: datetime | None
    kind: Literal["manual", "promotional"]
    metadata: Mapping[str, str] | None


def reserve_request(
    customer: str, name: str, quantity: Measures, **options: Unpack[ReserveOptions]
) -> ReserveRequest:
    """A wish to hold, under a new id unless the caller has made one.

    Raises:
        InvalidInputError: the metadata can't be stored.
    """
    return ReserveRequest(
        customer=customer,
        name=name,
        quantity=quantity,
        hold_id=options["hold_id"] if "hold_id" in options else str(uuid7()),
        has_new_id="hold_id" not in options,
        ttl=options.get("ttl"),
        partial=options.get("partial", False),
        idempotency_key=options.get("idempotency_key"),
        once=options.get("once", False),
        actor=options.get("actor"),
        feature=options.get("feature"),
        reference=options.get("reference"),
        scope=options.get("scope", ""),
        metadata=metadata_text(options.get("metadata")),
    )


def manual_grant(amount: int, **options: Unpack[GrantOptions]) -> GrantCredits:
    """A grant by hand, under a new id.

    Raises:
        InvalidInputError: an option can't be stored, or an instant is naive.
    """
    check_text(options["reason"], "reason")
    actor = options.get("actor")
    if actor is not None:
        check_id(actor, "actor")
    priority = options.get("priority", 0)
    if not isinstance(priority, int) or abs(priority) > MAX_PRIORITY:
        raise InvalidAmountError(f"A priority is from -{MAX_PRIORITY} to {MAX_PRIORITY}.")
    effective_at = _aware(options.get("effective_at"), "effective_at")
    expires_at = _aware(options.get("expires_at"), "expires_at")
    if effective_at is not None and expires_at is not None and effective_at >= expires_at:
        raise InvalidInputError("A grant must begin before it expires.")
    return GrantCredits(
        grant_id=str(uuid7()),
        amount=amount,
        kind=GrantKind(options.get("kind", "manual")),
        priority=priority,
        effective_at=effective_at,
        expires_at=expires_at,
        actor=actor,
        reason=options["reason"],
        metadata=metadata_text(options.get("metadata")),
    )


def revocation(grant_id: str, *, reason: str, actor: str | None = None) -> Revoke:
    """The end of a grant by hand.

    Raises:
        InvalidInputError: the reason can't be stored.
        InvalidIdError: the actor is no id.
    """
    check_text(reason, "reason")
    if actor is not None:
        check_id(actor, "actor")
    return Revoke(grant_id=check_id(grant_id, "grant"), actor=actor, reason=reason)


def lapsed_in(change: Change) -> int:
    """How much of a grant lapsed when it was revoked."""
    return -sum(entry.posted_delta for entry in change.entries)


def _aware(instant: datetime | None, what: str) -> datetime | None:
    if instant is not None and instant.tzinfo is None:
        raise InvalidInputError(f"{what} must be an aware datetime.")
    return instant
