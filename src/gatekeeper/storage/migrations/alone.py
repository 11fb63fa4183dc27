"""One use of Alembic at a time: it keeps what it works on in global variables."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LOCK: Final = threading.Lock()
_holders: Final[set[int]] = set()


@contextmanager
def alone_with_alembic() -> Iterator[None]:
    """Wait until no other thread uses Alembic, and keep the others out.

    Raises:
        RuntimeError: this thread does so already (two upgrades on one event loop): to wait would
            be to wait for oneself.
    """
    me = threading.get_ident()
    if me in _holders:
        raise RuntimeError("An upgrade is running on this thread; begin the next one after it.")
    with _LOCK:
        _holders.add(me)
        try:
            yield
        finally:
            _holders.discard(me)
