"""The port of notices: what a notifier is handed, and what it promises."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

NoticeKind = Literal[
    "receipt",
    "payment_failed",
    "credits_low",
    "credits_exhausted",
    "credits_expiring",
    "credits_owed",
    "cap_reached",
    "subscription_started",
    "subscription_ending",
    "subscription_ended",
    "top_up_blocked",
]
"""What there is to tell a customer."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something to tell one customer.

    Attributes:
        id: the same at each delivery: a notifier that can, sends it once.
        to: the address.
        at: when it happened.
        facts: what there is to say: the body of the signal (docs/guides/signals.md), amounts of a
            unit also as people write them: `left_shown`, `owed_shown`.
    """

    id: str
    kind: NoticeKind
    customer: str
    to: str
    at: datetime
    facts: Mapping[str, Any]


class Notifier(ABC):
    """Sends notices."""

    @abstractmethod
    async def notify(self, notice: Notice) -> None:
        """Send one; the same one comes again if this raises, or after a crash.

        Raises:
            UndeliverableError: it can never be sent: it becomes a dead letter at once.
            UnavailableError: nothing can be sent at present: it is tried for as long as it takes.
            Exception: anything else is tried again, some 15 times.
        """
