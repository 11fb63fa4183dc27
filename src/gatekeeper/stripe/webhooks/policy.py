"""How patiently and how widely the dispatcher works."""

from dataclasses import dataclass
from datetime import timedelta

from gatekeeper.services.backoff import after_failures, in_outage

MAX_DEPENDENCY_DELAY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class DispatchPolicy:
    """The bounds of the dispatcher.

    Attributes:
        max_attempts: after so many an event is a dead letter; those that failed only because
            Stripe or the database could not be reached don't count. With the waits below 25
            attempts reach over half a day: an outage of a host's service is outlived.
        backoff_seconds: the wait after the first failure; it doubles with each further one, with
            jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
        max_backoff_seconds: the longest wait.
        handler_timeout_seconds: for one handler, and for one projection with its fetches.
        lease_seconds: after a crash the events at hand are taken up again when this is over. It is
            renewed where it would end within a handler's time, and must be longer than that.
        poll_seconds: how often to look for what another process stored, or what is due again.
        dependency_wait_seconds: how old an event may become whose handler waits for something else
            (`DependencyMissingError`) until its failures count as any other's.
        concurrency: how many objects are claimed, and worked on, at once.
    """

    max_attempts: int = 25
    backoff_seconds: float = 2.0
    max_backoff_seconds: float = 3600.0
    handler_timeout_seconds: float = 30.0
    lease_seconds: float = 120.0
    poll_seconds: float = 1.0
    concurrency: int = 8
    dependency_wait_seconds: float = 3600.0

    def delay(self, attempts: int) -> timedelta:
        """How long to wait after `attempts` failures: half of it is certain, half is chance."""
        return after_failures(attempts, self.backoff_seconds, self.max_backoff_seconds)

    def outage_delay(self, age: timedelta) -> timedelta:
        """How long an event of this age waits for the end of an outage: about as long as it has
        waited already, within the same bounds."""
        return in_outage(age, self.backoff_seconds, self.max_backoff_seconds)

    def dependency_delay(self, age: timedelta) -> timedelta:
        """How long an event of this age waits for what it builds upon: a minute at the most."""
        return in_outage(age, self.backoff_seconds, MAX_DEPENDENCY_DELAY_SECONDS)
