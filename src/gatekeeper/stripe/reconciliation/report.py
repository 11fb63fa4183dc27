"""What a reconciliation has found."""

from collections.abc import Callable

import msgspec

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
    """

    dry_run: bool = False
    events: int = 0
    missed: int = 0
    objects: int = 0
    strangers: int = 0
    drift: tuple[Drift, ...] = ()
    unrepaired: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether we agree with Stripe now."""
        if self.dry_run:
            return not self.missed and not self.drift and not self.unrepaired
        return not self.unrepaired
