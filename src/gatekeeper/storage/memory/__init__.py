"""A store in the process's own memory, for tests and prototypes only.

It keeps every rule of the port, transactions and rollback included, and forgets everything when
the process ends. It shares nothing with other processes and can't join a host's transaction.
"""

from gatekeeper.storage.memory.store import MemoryStore

__all__ = ["MemoryStore"]
