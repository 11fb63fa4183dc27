"""The part of the storage port that remembers what the back office has done: append-only."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime

import msgspec

ActionPlace = tuple[datetime, str]
"""Where an action stands among all: when it was done, and its id."""


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a person has changed, written in the transaction of the change.

    Attributes:
        id: made by us; under an idempotency key, made of that.
        actor: who did it, by the host's own id.
        kind: what was done: "credits.grant".
        customer: whom it concerns, if anybody.
        subject: what it was done to, "kind/id": "event/evt_1".
        reason: why, in the actor's words.
        before, after: what has changed, as it was and as it is: JSON objects.
        fingerprint: of all that was asked, by which a repeated request is known.
    """

    id: str
    at: datetime
    actor: str
    kind: str
    customer: str | None = None
    subject: str | None = None
    reason: str
    before: str | None = None
    after: str | None = None
    fingerprint: str = ""

    @property
    def place(self) -> ActionPlace:
        """Where it stands among all."""
        return self.at, self.id


class ActionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which actions are meant; None is no matter which.

    Attributes:
        since, until: done from then on, and before then.
    """

    customer: str | None = None
    actor: str | None = None
    kind: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def has(self, action: Action) -> bool:
        """Whether an action is one of them."""
        return (
            self.customer in (None, action.customer)
            and self.actor in (None, action.actor)
            and self.kind in (None, action.kind)
            and (self.since is None or action.at >= self.since)
            and (self.until is None or action.at < self.until)
        )


class Actions(ABC):
    """What was done by people. Nothing is changed or deleted; an erasure wipes what would name the
    customer (`Audit.erase`)."""

    @abstractmethod
    def add(self, action: Action) -> bool:
        """Append an action; False if there is one of its id."""

    @abstractmethod
    def get(self, action_id: str) -> Action | None:
        """An action by its id."""

    @abstractmethod
    def listed(
        self, query: ActionQuery, limit: int, before: ActionPlace | None = None
    ) -> Sequence[Action]:
        """Actions, the newest first; `before`: only what comes after this place in that order."""
