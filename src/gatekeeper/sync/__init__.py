"""The gate without async: the same methods, each waiting for its asynchronous twin.

Async is written once. A call goes to the event loop on which the gate is open (from a worker
thread of a web app, say), or to one of our own in a thread. With `session=` it runs on the
caller's thread, inside the SQLAlchemy `Session` or `Connection` that the host has open.
"""

from gatekeeper.sync.gatekeeper import SyncGatekeeper

__all__ = ["SyncGatekeeper"]
