"""The port of analytics: what a tool is handed, and what it promises."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec


class AnalyticsEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a customer did, or that happened to them.

    Attributes:
        id: a UUID, the same at each delivery: a tool that knows it counts the event once.
        name: that of the signal; docs/guides/signals.md lists all of them.
        customer: the host's id of the customer; a hash of it, if it is a mail address.
        at: when it happened.
        properties: what `EVENTS` names of the signal, and nothing else: no name, no address, no
            card.
    """

    id: str
    name: str
    customer: str
    at: datetime
    properties: Mapping[str, Any]


class Analytics(ABC):
    """Counts events."""

    @abstractmethod
    async def capture(self, event: AnalyticsEvent) -> None:
        """Count one; the same one comes again if this raises, or after a crash.

        Raises:
            UndeliverableError: it will never be taken: it becomes a dead letter at once.
            UnavailableError: nothing is taken at present: it is tried for as long as it takes.
            Exception: anything else is tried again, some 15 times.
        """
