"""What each series of windows has been given, and where its latest window stands."""

from datetime import datetime

from msgspec.structs import replace

from gatekeeper.ledger.values import Received


def adjoins(end: datetime | None, start: datetime | None) -> bool:
    """Whether a window that ends at `end` was still running when one began at `start`."""
    return end is None or start is None or end >= start


class SeriesMemory:
    """An account's `received`, copied when it is first changed.

    Attributes:
        received: by the keys of windows, and of what is given once.
        changed: whether it is another than it was.
    """

    __slots__ = ("changed", "received")

    def __init__(self, received: dict[str, Received]) -> None:
        self.received = received
        self.changed = False

    def get(self, key: str) -> Received | None:
        """What the window of this key has been given."""
        return self.received.get(key)

    def put(self, key: str, received: Received) -> None:
        """Remember what a window has been given."""
        self._own()[key] = received

    def latest(self, series: str) -> tuple[str, Received] | None:
        """The latest window of a series that was granted, and its key."""
        latest: tuple[str, Received] | None = None
        begun: datetime | None = None
        for key, received in self.received.items():
            start = received.start
            if received.series == series and start and (begun is None or start > begun):
                latest, begun = (key, received), start
        return latest

    def latest_start(self, series: str) -> datetime | None:
        """Where the latest window of a series that was granted begins."""
        latest = self.latest(series)
        return None if latest is None else latest[1].start

    def remember_left(self, key: str | None, amount: int) -> None:
        """Note what a window had left when its time was over, for the one that follows it."""
        received = self.received.get(key or "")
        if key is not None and received is not None and amount:
            self.put(key, replace(received, left=received.left + amount))

    def take_left(self, series: str, start: datetime | None) -> int:
        """What earlier windows of a series have left to the one that begins at `start`."""
        total = 0
        for key, received in tuple(self.received.items()):
            if received.series == series and received.left:
                total += received.left if adjoins(received.end, start) else 0
                self.put(key, replace(received, left=0))
        return total

    def take_room(self, key: str, amount: int) -> int:
        """How much of `amount` the window may still take over from the one before it."""
        received = self.received[key]
        if received.room is None:
            return amount
        taken = min(received.room, amount)
        if taken:
            self.put(key, replace(received, room=received.room - taken))
        return taken

    def close(self, series: frozenset[str]) -> None:
        """Let nothing more be taken over in these series."""
        for key, received in tuple(self.received.items()):
            if received.series in series and received.room != 0:
                self.put(key, replace(received, room=0))

    def forget_until(self, now: datetime) -> None:
        """Drop the memory of windows that are over, but for the latest of each series."""
        over = [
            key
            for key, received in self.received.items()
            if received.until is not None
            and received.until <= now
            and not (received.series and received.start == self.latest_start(received.series))
        ]
        for key in over:
            del self._own()[key]

    def _own(self) -> dict[str, Received]:
        if not self.changed:
            self.received, self.changed = dict(self.received), True
        return self.received
