"""Metered usage, in memory."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec.structs import replace

from gatekeeper.errors import ConflictError
from gatekeeper.storage.memory.tables import Journal, Table
from gatekeeper.storage.metering import (
    ERASED_WINDOW,
    Marked,
    MeterDay,
    Metering,
    Unsealed,
    Usage,
    UsageWindow,
    WindowStatus,
)
from gatekeeper.storage.survey import Backlog

_Key = tuple[str, str, str]
_OPEN = (WindowStatus.PENDING, WindowStatus.DEAD)


class MemoryMetering(Metering):
    """See the port."""

    def __init__(self, journal: Journal) -> None:
        self._usage: Table[_Key, Usage] = Table(journal)
        self._windows: Table[_Key, UsageWindow] = Table(journal)

    def record(self, rows: Iterable[Usage]) -> int:
        return sum(self._usage.insert((row.customer, row.meter, row.id), row) for row in rows)

    def recorded(self, customer: str, meter: str, usage_id: str) -> Usage | None:
        return self._usage.get((customer, meter, usage_id))

    def unsealed(self, before: datetime, limit: int) -> Sequence[Unsealed]:
        earliest: dict[tuple[str, str], datetime] = {}
        for row in self._usage.values():
            if row.window_id is None and row.at < before:
                key = (row.customer, row.meter)
                earliest[key] = min(earliest.get(key, row.at), row.at)
        return [Unsealed(*key, since) for key, since in sorted(earliest.items())][:limit]

    def windows_at(self, customer: str, meter: str, start: datetime) -> int:
        wanted = (customer, meter, start)
        return sum((one.customer, one.meter, one.start) == wanted for one in self._windows.values())

    def mark(
        self, customer: str, meter: str, start: datetime, end: datetime, window_id: str
    ) -> Marked | None:
        found = [
            (key, row)
            for key, row in self._usage.items()
            if key[:2] == (customer, meter) and row.window_id is None and start <= row.at < end
        ]
        for key, row in found:
            self._usage.put(key, replace(row, window_id=window_id))
        if not found:
            return None
        total = sum(row.quantity for _, row in found)
        return Marked(len(found), total, max(row.at for _, row in found))

    def add_window(self, window: UsageWindow) -> None:
        if not self._windows.insert(_key(window), window):
            raise ConflictError("There is a window of this id already.")

    def claim(self, now: datetime, lease_until: datetime, limit: int) -> Sequence[UsageWindow]:
        pending = [one for one in self._windows.values() if one.status is WindowStatus.PENDING]
        busy = {(one.customer, one.meter) for one in pending if _is_leased(one, now)}
        due = sorted(
            (one for one in pending if one.due_at <= now and (one.customer, one.meter) not in busy),
            key=lambda one: (one.due_at, one.start, one.id),
        )
        leased = [
            replace(
                one,
                leased_until=lease_until,
                attempts=one.attempts + 1,
                tried_at=one.tried_at or now,
            )
            for one in due[:limit]
        ]
        for one in leased:
            self._windows.put(_key(one), one)
        return leased

    def save_window(self, window: UsageWindow) -> None:
        if _key(window) in self._windows:
            self._windows.put(_key(window), window)

    def window(self, identifier: str, *, lock: bool = False) -> UsageWindow | None:
        found = (one for one in self._windows.values() if one.identifier == identifier)
        return next(found, None)

    def windows(
        self,
        *,
        status: WindowStatus | None = None,
        customer: str | None = None,
        meter: str | None = None,
        limit: int = 100,
    ) -> Sequence[UsageWindow]:
        found = (
            one
            for one in self._windows.values()
            if status in (None, one.status)
            and customer in (None, one.customer)
            and meter in (None, one.meter)
        )
        return sorted(found, key=lambda one: (one.start, *_key(one)))[:limit]

    def days(
        self,
        customer: str,
        since: datetime,
        until: datetime,
        limit: int,
        after: tuple[datetime, str] | None = None,
    ) -> Sequence[MeterDay]:
        parts = [
            (one.start, one.meter, one.quantity)
            for one in self._windows.values()
            if one.customer == customer and one.status is not WindowStatus.DISCARDED
        ]
        parts += [
            (one.at, one.meter, one.quantity)
            for one in self._usage.values()
            if one.customer == customer and one.window_id is None
        ]
        days: dict[tuple[datetime, str], int] = {}
        for at, meter, quantity in parts:
            if since <= at < until:
                place = (at.replace(hour=0, minute=0, second=0, microsecond=0), meter)
                days[place] = days.get(place, 0) + quantity
        found = [MeterDay(*place, days[place]) for place in sorted(days)]
        return [one for one in found if after is None or one.place > after][:limit]

    def backlog(self) -> Backlog:
        """The windows that wait to be sent, and those that are dead."""
        found = list(self._windows.values())
        waiting = [one.created_at for one in found if one.status is WindowStatus.PENDING]
        return Backlog(
            waiting=len(waiting),
            oldest_at=min(waiting, default=None),
            dead=sum(one.status is WindowStatus.DEAD for one in found),
        )

    def unsealed_since(self) -> datetime | None:
        """When usage that is in no window was recorded: the first by customer, meter and moment."""
        rows = [row for row in self._usage.values() if row.window_id is None]
        first = min(rows, key=lambda row: (row.customer, row.meter, row.at), default=None)
        return None if first is None else first.received_at

    def told(self, customer: str, meter: str, since: datetime, until: datetime) -> int:
        return sum(
            one.quantity
            for one in self._windows.values()
            if (one.customer, one.meter, one.status) == (customer, meter, WindowStatus.SENT)
            and since <= one.at < until
        )

    def told_customers(
        self, since: datetime, until: datetime, *, after: str, limit: int
    ) -> Sequence[str]:
        found = {
            one.customer
            for one in self._windows.values()
            if one.status is WindowStatus.SENT and since <= one.at < until and one.customer > after
        }
        return sorted(found)[:limit]

    def untold(self, customer: str) -> int:
        rows = sum(
            row.customer == customer and row.window_id is None for row in self._usage.values()
        )
        pending = sum(
            (one.customer, one.status) == (customer, WindowStatus.PENDING)
            for one in self._windows.values()
        )
        return rows + pending

    def erase(self, customer: str, pseudonym: str) -> None:
        """Put a pseudonym in the place of a customer; what was not told is never told."""
        for key, row in self._usage.items():
            if row.customer == customer:
                self._usage.delete(key)
                window_id = row.window_id or ERASED_WINDOW
                moved = replace(row, customer=pseudonym, window_id=window_id)
                self._usage.put((pseudonym, *key[1:]), moved)
        for key, one in self._windows.items():
            if one.customer == customer:
                self._windows.delete(key)
                status = WindowStatus.DISCARDED if one.status in _OPEN else one.status
                ended = replace(
                    one,
                    customer=pseudonym,
                    identifier=f"{pseudonym}/{one.meter}/{one.id}",  # it derived from their id
                    status=status,
                    last_error=None,
                )
                self._windows.put((pseudonym, *key[1:]), ended)


def _key(window: UsageWindow) -> _Key:
    return window.customer, window.meter, window.id


def _is_leased(window: UsageWindow, now: datetime) -> bool:
    return window.leased_until is not None and window.leased_until > now
