"""What the naive ledger is made of: shelves, and credits that lie on them one by one."""

from dataclasses import dataclass


class Refused(Exception):
    """The command is refused, for the reason of this code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Due:
    """What one window of a series should have been given by now."""

    series: str
    key: str
    amount: int | None
    start: int | None = None
    end: int | None = None
    expires: int | None = None
    priority: int = 0
    rollover: int | None = 0
    keep: bool = False
    mints: bool = False
    meter: str | None = None


@dataclass(eq=False)
class Shelf:
    """Where the credits of one grant lie."""

    name: str
    created: int
    priority: int = 0
    expires: int | None = None
    series: str | None = None
    end: int | None = None
    keep: bool = False
    mints: bool = False
    left: int | None = None
    meter: str | None = None
    paused: bool = False
    closed: bool = False
    key: str | None = None
    pending: int = 0
    begins: int | None = None
    lapses: bool = False
    returned: bool = False
    told: bool = False

    def is_over(self, now: int) -> bool:
        """Whether nothing can be taken from it any more."""
        return self.closed or (self.expires is not None and self.expires <= now)

    def is_endless(self, now: int) -> bool:
        """Whether as much can be taken from it as anybody likes, for nothing."""
        free = self.mints and self.left is None and self.meter is None
        return free and not self.paused and not self.is_over(now)


@dataclass(eq=False)
class Credit:
    """One credit: free, or claimed by a hold."""

    shelf: Shelf
    hold: str | None = None


@dataclass(eq=False)
class NaiveHold:
    """A claim on credits, in the order in which they were claimed."""

    name: str
    credits: list[Credit]
    expires: int
    made: int = 0
    scope: str = ""
    status: str = "open"
    captured: int = 0
    overrun: int = 0
