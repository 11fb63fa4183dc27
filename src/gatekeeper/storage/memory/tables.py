"""Tables in memory, with an undo log instead of copies.

Rows are immutable values; a transaction notes each row that it replaces, so that rolling back costs
as much as what was written, however much there is.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Journal:
    """What has to be undone if the open transaction fails."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] | None = None

    @property
    def is_open(self) -> bool:
        """Whether a writing transaction is open."""
        return self._undo is not None

    def note(self, undo: Callable[[], None]) -> None:
        """Remember how to undo the next change.

        Raises:
            RuntimeError: no writing transaction is open.
        """
        if self._undo is None:
            raise RuntimeError("This transaction reads only, or is over: it can't write.")
        self._undo.append(undo)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep the changes of the block, or undo them all, in reverse, if it raises."""
        undo: list[Callable[[], None]] = []
        self._undo = undo
        try:
            yield
        except BaseException:
            while undo:
                undo.pop()()
            raise
        finally:
            self._undo = None


class Table(Generic[K, V]):
    """Rows by their key."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._rows: dict[K, V] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._rows

    def get(self, key: K) -> V | None:
        """The row of this key."""
        return self._rows.get(key)

    def values(self) -> tuple[V, ...]:
        """All rows, in no particular order."""
        return tuple(self._rows.values())

    def items(self) -> tuple[tuple[K, V], ...]:
        """All keys and rows, in no particular order."""
        return tuple(self._rows.items())

    def put(self, key: K, row: V) -> None:
        """Insert or replace a row."""
        self._note(key)
        self._rows[key] = row

    def insert(self, key: K, row: V) -> bool:
        """Insert a row; False if its key is there already."""
        if key in self._rows:
            return False
        self.put(key, row)
        return True

    def delete(self, key: K) -> bool:
        """Delete a row; False if there is none."""
        if key not in self._rows:
            return False
        self._note(key)
        del self._rows[key]
        return True

    def _note(self, key: K) -> None:
        if key in self._rows:
            before = self._rows[key]
            self._journal.note(lambda: self._rows.__setitem__(key, before))
        else:
            self._journal.note(lambda: self._rows.__delitem__(key))
