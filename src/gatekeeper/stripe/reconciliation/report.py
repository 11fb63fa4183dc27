"""What a reconciliation has found."""

import logging
from collections.abc import Callable

import msgspec

from gatekeeper.errors import ProjectionError

logger = logging.getLogger("gatekeeper.reconciliation")

Watch = Callable[[str, int], None]
"""Is told how much of what has been looked at: ("events", 100)."""


def unwatched(what: str, count: int) -> None:
    """The `Watch` of nobody."""


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """One field that differs.

    Attributes:
        kind: of the object, for example "subscription".
        customer: the host's id.
        ours: None where we have nothing; so with `theirs`.
        revokes: whether to repair it takes access away.
        repairs: the id of what is fetched again to repair it, where that is not its own: a refund's
            charge.
    """

    kind: str
    id: str
    customer: str
    field: str
    ours: str | None
    theirs: str | None
    revokes: bool = False
    repairs: str | None = None

    def __str__(self) -> str:
        ours, theirs = self.ours or "nothing", self.theirs or "nothing"
        return (
            f"{self.kind} {self.id} ({self.customer}): {self.field} is {ours}, Stripe has {theirs}"
        )


class CopyCount(msgspec.Struct, frozen=True, kw_only=True):
    """What the sweep of copies has found of one kind.

    Attributes:
        objects: how many Stripe listed.
        missing: how many of them had no copy here.
        differing: how many copies were not as Stripe has it.
        failed: the ids of what could not be read, or not be copied.
    """

    kind: str
    objects: int = 0
    missing: int = 0
    differing: int = 0
    failed: tuple[str, ...] = ()

    def with_more(self, other: "CopyCount") -> "CopyCount":
        """Both together."""
        return CopyCount(
            kind=self.kind,
            objects=self.objects + other.objects,
            missing=self.missing + other.missing,
            differing=self.differing + other.differing,
            failed=(*self.failed, *other.failed),
        )

    def __str__(self) -> str:
        return (
            f"{self.kind}: {self.objects} listed, {self.missing} without a copy, "
            f"{self.differing} copied otherwise"
        )


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one run has found, and what is left of it.

    Attributes:
        events: how many events Stripe listed that concern us.
        missed: how many of them had never come; all but a dry run have stored them.
        objects: how many subscriptions, invoices, refunds, disputes, fraud warnings and checkouts
            of our customers were compared.
        strangers: how many subscriptions belong to nobody whom the host knows.
        unrepaired: the ids of the objects whose repair failed, or that could not be read; the log
            says why.
        copies: what the sweep of copies has found, kind by kind, if it was asked for.
    """

    dry_run: bool = False
    events: int = 0
    missed: int = 0
    objects: int = 0
    strangers: int = 0
    drift: tuple[Drift, ...] = ()
    unrepaired: tuple[str, ...] = ()
    copies: tuple[CopyCount, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether we agree with Stripe now."""
        if self.dry_run:
            differing = any(one.missing or one.differing for one in self.copies)
            return not (self.missed or self.drift or self.unrepaired or differing)
        return not self.unrepaired


def unreadable_object(object_id: str, error: ProjectionError) -> str:
    """Log that an object is not as Stripe's objects are; returns its id, to be told."""
    logger.error("%s can't be compared: %s", object_id, error)
    return object_id
