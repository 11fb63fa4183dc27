"""Which host transactions are open in this task, and whom they have locked.

A host that has joined its own transaction, and then calls Gatekeeper for the same customer without
`session=`, would wait for itself: our transaction for the lock, its own for our answer. That is a
mistake in the host's code, and it is answered at once, by name, instead of by a hang.
"""

from contextvars import ContextVar
from typing import Final

from gatekeeper.errors import HostTransactionError


class HostTransaction:
    """One transaction of the host's that a store has joined, until it ends.

    `whole_database` says that it keeps every other writer out (SQLite), not just those of the
    customers that it has touched.
    """

    def __init__(self, store: object, *, whole_database: bool = False) -> None:
        self.store = store
        self.whole_database = whole_database
        self.ended = False
        self._customers: dict[str, int] = {}

    def note(self, customer: str, savepoint: int) -> None:
        """Remember that a row of this customer is locked, since a savepoint of this number."""
        self._customers.setdefault(customer, savepoint)

    def forget_since(self, savepoint: int) -> None:
        """Forget whom a rollback to a savepoint has let go."""
        self._customers = {
            customer: since for customer, since in self._customers.items() if since < savepoint
        }

    def keeps_out(self, store: object, customer: str) -> bool:
        """Whether another transaction of `store` would wait for this one."""
        if self.ended or self.store is not store:
            return False
        return self.whole_database or customer in self._customers


_open: Final[ContextVar[tuple[HostTransaction, ...]]] = ContextVar(
    "gatekeeper_host_transactions", default=()
)


def remember(host: HostTransaction) -> None:
    """Note a joined transaction for this task (or thread), and for the tasks that it starts."""
    _open.set((*(known for known in _open.get() if not known.ended and known is not host), host))


def refuse_joined(store: object, customer: str) -> None:
    """Services call this before a command of `customer` in a transaction of the store's own.

    A synchronous wrapper calls it on the thread of its caller, where the host's transaction is.

    Raises:
        HostTransactionError: a host transaction of this task has locked the customer.
    """
    if any(host.keeps_out(store, customer) for host in _open.get()):
        raise HostTransactionError(
            "This task has a transaction of its own open that has joined Gatekeeper's store and "
            "holds what this call needs. Pass it as session=..., or commit it first: a second "
            "transaction would wait for it for ever.",
            customer=customer,
        )
