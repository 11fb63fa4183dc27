"""What a failure means: outages pass, what is missing may come, the rest stays as it is."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from gatekeeper.errors import DependencyMissingError, PermanentError, UnavailableError
from gatekeeper.storage.records import ErrorKind
from gatekeeper.stripe.webhooks.policy import DispatchPolicy


class Verdict(NamedTuple):
    """What becomes of an event that failed.

    Attributes:
        delay: how long it waits, if it is tried again.
        counted: whether this was one of its attempts.
        final: it is a dead letter at once.
        kind: what is known of the failure, for people.
    """

    delay: timedelta
    counted: bool = True
    final: bool = False
    kind: ErrorKind = ErrorKind.TRANSIENT


def judge(
    policy: DispatchPolicy, failures: Sequence[Exception], *, attempts: int, age: timedelta
) -> Verdict:
    """Judge the failures of an event's handlers together.

    An outage (`UnavailableError`) is waited out for as long as it takes. A missing dependency is
    waited for, until the event is older than `dependency_wait_seconds`. Where every handler says
    that nothing would change (`PermanentError`), nothing is tried again. All else counts.
    """
    if all(isinstance(error, PermanentError) for error in failures):
        return Verdict(timedelta(), final=True, kind=ErrorKind.PERMANENT)
    if all(isinstance(error, UnavailableError) for error in failures):
        return Verdict(policy.outage_delay(age), counted=False)
    passing = (UnavailableError, DependencyMissingError)
    if not all(isinstance(error, passing) for error in failures):
        return Verdict(policy.delay(attempts))
    if age.total_seconds() < policy.dependency_wait_seconds:
        delay = policy.dependency_delay(age)
        return Verdict(delay, counted=False, kind=ErrorKind.DEPENDENCY)
    return Verdict(policy.delay(attempts), kind=ErrorKind.DEPENDENCY)
