"""Writing what counts once, however often it is told: with the host's own write, or by itself."""

from collections.abc import Callable
from typing import TypeVar

from gatekeeper.errors import StoreUnavailableError
from gatekeeper.storage.joined import refuse_joined
from gatekeeper.storage.port import Store, Transaction

T = TypeVar("T")


async def write_once(
    store: Store, customer: str, work: Callable[[Transaction], T], session: object = None
) -> T:
    """Run `work` in the host's open transaction, or in one of its own: then a second time if the
    answer of the first COMMIT was lost, so it must know by its ids what it has written before.

    Raises:
        HostTransactionError: see `Store.join`; or without `session`, from within a task that has
            joined a transaction which holds this customer.
        StoreUnavailableError: the database can't be reached.
    """
    if session is not None:
        async with store.join(session) as joined:
            return await joined.run(work)
    refuse_joined(store, customer)
    try:
        return await store.write(work)
    except StoreUnavailableError as error:
        if not may_be_committed(error):
            raise
        return await store.write(work)


def may_be_committed(error: StoreUnavailableError) -> bool:
    """Whether what failed may have been written after all: its answer was lost."""
    return error.params.get("outcome") == "unknown"
