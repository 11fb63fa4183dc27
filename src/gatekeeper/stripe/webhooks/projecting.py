"""The projector: what brings our copy of one kind of Stripe's objects up to date."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import InboxEvent

Complete = Callable[[Transaction], None]
"""Records that the projection of the events at hand is done; called in its transaction."""


def object_key(object_type: str, object_id: str, *, livemode: bool, account: str | None) -> str:
    """The name of one object of one account and mode: the unit of ordering and of fetches.

    A fetch ticket is taken under this name whichever event led to the fetch, so that what an
    invoice's event and a subscription's event have fetched of one subscription is in order.
    """
    return f"{'live' if livemode else 'test'}/{account or ''}/{object_type}/{object_id}"


class Projector(ABC):
    """Projects one kind of object: fetch it, decide what it means, write that."""

    event_types: ClassVar[tuple[str, ...]]
    """The events that Stripe has to send for this projector to know all that it must."""

    connected: ClassVar[bool] = False
    """Whether it also projects the objects of connected accounts; their events name the account."""

    @abstractmethod
    async def project(self, events: Sequence[InboxEvent], complete: Complete) -> None:
        """Bring one object up to date for all of its waiting `events` by a single fetch.

        `complete` is called once, in the transaction of the effects. What the events say of the
        object is not looked at: it may be out of date, and come in any order.

        Raises:
            GatekeeperError: nothing was written or completed; the events are tried again.
        """
