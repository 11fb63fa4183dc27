"""What a looker knows, as a text of a few hundred characters that they send back when they come
again; and the news for somebody who knows it. Pure."""

import base64
import binascii
import hashlib
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from gatekeeper.errors import InvalidInputError
from gatekeeper.services.live.seen import LATEST, SETTLED, Seen
from gatekeeper.services.standing import Standing, UnitStanding
from gatekeeper.services.statements import PaymentRow

Topic = Literal["balance.changed", "credits.low", "payment.settled", "plan.changed"]

MAX_CHARS: Final = 2_000
"""The longest text that is read."""

_MARK_CHARS: Final = 10
_Mark = Annotated[str, Meta(max_length=_MARK_CHARS)]
_LOW: Final = frozenset({"credits_low", "credits_exhausted"})


class News(msgspec.Struct, frozen=True):
    """Something that the looker did not know. `payment` is the one that has settled."""

    topic: Topic
    seen: Seen
    payment: PaymentRow | None = None


class Known(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a looker knows: marks of the balances, of the plan, of credits that are low, and of the
    latest payments that have settled."""

    balances: _Mark
    plan: _Mark
    low: _Mark
    payments: Annotated[tuple[_Mark, ...], Meta(max_length=LATEST)]

    @classmethod
    def of(cls, seen: Seen) -> "Known":
        """What somebody knows who has been told of all of this."""
        standing = seen.standing
        return cls(
            _mark([_shown(unit) for unit in standing.units]),
            _mark(_plan(standing)),
            _mark(_low(standing)),
            tuple(_mark((one.id, one.status)) for one in _settled(seen)),
        )

    def text(self) -> str:
        """As it is sent."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> "Known":
        """From what is sent back.

        Raises:
            InvalidInputError: it is none of ours.
        """
        try:
            if len(text) > MAX_CHARS:
                raise ValueError(text[:8])
            packed = base64.b64decode(
                text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True
            )
            return msgspec.json.decode(packed, type=cls)
        except (ValueError, binascii.Error, msgspec.DecodeError) as error:
            raise InvalidInputError("This is no id of an event of ours.") from error


def news_of(known: Known, seen: Seen) -> Iterator[News]:
    """What is new in `seen` to somebody who knows `known`: payments first, what they brought
    after."""
    now = Known.of(seen)
    for one, mark in zip(_settled(seen), now.payments, strict=True):
        if mark not in known.payments:
            yield News("payment.settled", seen, one)
    if now.plan != known.plan:
        yield News("plan.changed", seen)
    if now.balances != known.balances:
        yield News("balance.changed", seen)
    if now.low != known.low and _low(seen.standing):
        yield News("credits.low", seen)


def _settled(seen: Seen) -> list[PaymentRow]:
    """The payments that have settled, the oldest first."""
    return [one for one in reversed(seen.payments) if one.status in SETTLED]


def _shown(unit: UnitStanding) -> Any:
    return unit.unit, unit.available, unit.overage, unit.held, unit.debt


def _plan(standing: Standing) -> Any:
    """What is shown of plans; not when a period ends, which renewals move on."""
    return (
        standing.plan,
        standing.status,
        sorted(standing.plans),
        sorted(standing.features),
        sorted((key, str(value)) for key, value in standing.limits.items()),
        [
            (one.id, one.status, one.plans, one.quantity, one.has_access, one.cancel_at)
            for one in standing.subscriptions
        ],
    )


def _low(standing: Standing) -> list[tuple[str, str | None]]:
    return [(one.kind, one.unit) for one in standing.warnings if one.kind in _LOW]


def _mark(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()[:_MARK_CHARS]
