"""How patiently and how widely the deliverer works."""

from dataclasses import dataclass
from datetime import timedelta

from gatekeeper.services.backoff import after_failures, in_outage


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """The bounds of the deliverer.

    Attributes:
        max_attempts: after so many a message is a dead letter. With the waits below that is after
            some three hours, in which the same customer's later ones to the same receiver wait.
        backoff_seconds: the wait after the first failure; it doubles with each further one.
        max_backoff_seconds: the longest wait.
        receiver_timeout_seconds: for one call of one receiver.
        lease_seconds: after a crash the messages at hand are taken up again when this is over. It
            is renewed where it would end within a receiver's time, and must be longer than that.
        poll_seconds: how often to look for what another process wrote, or what is due again.
        concurrency: how many messages each receiver is handed at once.
    """

    max_attempts: int = 15
    backoff_seconds: float = 2.0
    max_backoff_seconds: float = 1800.0
    receiver_timeout_seconds: float = 30.0
    lease_seconds: float = 120.0
    poll_seconds: float = 1.0
    concurrency: int = 8

    def delay(self, attempts: int) -> timedelta:
        """How long to wait after `attempts` failures."""
        return after_failures(attempts, self.backoff_seconds, self.max_backoff_seconds)

    def outage_delay(self, age: timedelta) -> timedelta:
        """How long a message of this age waits for the end of an outage."""
        return in_outage(age, self.backoff_seconds, self.max_backoff_seconds)
