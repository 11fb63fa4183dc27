"""What can be asked of a reserve, and what a repeated request means."""

from datetime import timedelta
from typing import Final

import msgspec

from gatekeeper.catalog import Measures
from gatekeeper.errors import AlreadySettledError, ConflictError, InvalidAmountError
from gatekeeper.ledger import Hold, HoldStatus, check_replay, check_scope, fingerprint
from gatekeeper.services.ledger.desk import Desk
from gatekeeper.services.ledger.room import Room
from gatekeeper.types import check_id

MAX_HOLD_TTL: Final = timedelta(days=366)
"""The longest time that a hold may be kept for at once."""


class ReserveRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A wish to hold `quantity` of `name`, which is a unit or a key of the cost table.

    With `once`, a repeated idempotency key is refused while the first request runs and after it
    was captured, and may try again after it was released: the rule for a guarded HTTP request.
    `has_new_id` says that nobody can have used the hold's id before: it was just made up.
    """

    customer: str
    name: str
    quantity: Measures
    hold_id: str
    ttl: timedelta | None = None
    partial: bool = False
    idempotency_key: str | None = None
    once: bool = False
    actor: str | None = None
    feature: str | None = None
    reference: str | None = None
    scope: str = ""
    metadata: str | None = None
    has_new_id: bool = False

    def check(self) -> None:
        """Refuse what could not be stored, whoever it came from.

        Raises:
            InvalidIdError, InvalidAmountError.
        """
        check_id(self.hold_id, "hold")
        for value, what in (
            (self.idempotency_key, "idempotency key"),
            (self.actor, "actor"),
            (self.feature, "feature"),
            (self.reference, "reference"),
        ):
            if value is not None:
                check_id(value, what)
        if self.ttl is not None:
            check_ttl(self.ttl)
        if self.scope:
            check_scope(self.scope)

    def fingerprint(self) -> str:
        """What makes two requests the same request."""
        return fingerprint(
            "reserve",
            name=self.name,
            quantity=self.quantity,
            partial=self.partial,
            reference=self.reference,
            **({"scope": self.scope} if self.scope else {}),
        )


def check_ttl(ttl: timedelta) -> timedelta:
    """Return `ttl` if a hold can be kept for so long.

    Raises:
        InvalidAmountError: it is not above zero, or longer than MAX_HOLD_TTL.
    """
    if not isinstance(ttl, timedelta) or not timedelta(0) < ttl <= MAX_HOLD_TTL:
        raise InvalidAmountError(
            f"The time to live of a hold must be above zero and at most {MAX_HOLD_TTL.days} days."
        )
    return ttl


def earlier_hold(room: Room, desk: Desk, request: ReserveRequest, key: str) -> Hold | None:
    """The hold of an earlier, equal request under the same idempotency key.

    One that ended, or whose time is over, without any capture has done nothing: the request is new.
    """
    receipt = room.receipt(request.customer, key)
    if receipt is None:
        return None
    hold_id = check_replay(receipt, request.fingerprint())
    hold = room.hold(desk, hold_id)
    if hold is None:  # it was not asked for beforehand: only the receipt knows its id
        hold = room.tx.ledger.find_hold(hold_id, customer=request.customer)
    if hold is None:
        return None
    runs = hold.status is HoldStatus.OPEN and hold.expires_at > desk.now
    if not runs and not hold.captured and hold.status is not HoldStatus.CAPTURED:
        return None
    if not request.once:
        return hold
    if runs:
        raise ConflictError("A request with this Idempotency-Key is still running.")
    raise AlreadySettledError(
        "The request with this Idempotency-Key has been carried out and charged. "
        "Use a new key for a new request."
    )
