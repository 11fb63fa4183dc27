"""What the operations of the back office have in common."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec

from gatekeeper.asgi.billing.operations import Call, Operation
from gatekeeper.asgi.billing.values import instant
from gatekeeper.asgi.billing.views import like
from gatekeeper.errors import ConfigurationError, ConflictError, InvalidInputError, NotFoundError
from gatekeeper.services.back_office import Mandate
from gatekeeper.storage.actions import Action

operation: Final = partial(Operation, audience="back_office")

CHANGING: Final = (InvalidInputError, NotFoundError, ConflictError)
"""What every change may be refused by."""


class ActionView(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody has done in the back office.

    Attributes:
        kind: what was done: "credits.grant", say.
        subject: what it was done to: "kind/id".
        before: what has changed, as it was.
        after: the same as it is.
    """

    id: str
    at: datetime
    actor: str
    kind: str
    customer: str | None
    subject: str | None
    reason: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def action_view(action: Action) -> ActionView:
    """An action as it is answered."""
    before, after = facts_of(action.before), facts_of(action.after)
    return like(ActionView, action, before=before, after=after)


def facts_of(packed: str | None) -> dict[str, Any] | None:
    """What was kept as JSON."""
    return None if packed is None else msgspec.json.decode(packed, type=dict[str, Any])


def mandate_of(call: Call[Any, Any]) -> Mandate:
    """Who changes something, and why: the body's `reason`.

    Raises:
        InvalidInputError: the reason is blank.
    """
    if call.actor is None:
        raise ConfigurationError("This operation has no actor.")
    return Mandate(actor=call.actor, reason=call.body.reason, idempotency_key=call.idempotency_key)


def moment(value: datetime | None, what: str) -> datetime | None:
    """An instant from outside, if there is one; see `values.instant`."""
    return None if value is None else instant(value, what)


def fact(facts: Mapping[str, Any], name: str) -> str | None:
    """A fact of a copy, if it is a text."""
    found = facts.get(name)
    return found if isinstance(found, str) else None
