"""What a failure means: outages pass, what is missing may come, the rest stays as it is."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from gatekeeper.errors import DependencyMissingError, PermanentError, UnavailableError
from gatekeeper.stripe.webhooks.policy import DispatchPolicy


class Verdict(NamedTuple):
    """What becomes of an event that failed.

    Attributes:
        delay: how long it waits, if it is tried again.
        counted: whether this was one of its attempts.
        final: it is a dead letter at once.
    """

    delay: timedelta
    counted: bool = True
    final: bool = False


def judge(
    policy: DispatchPolicy, failures: Sequence[Exception], *, attempts: int, age: timedelta
) -> Verdict:
    """Judge the failures of an event's handlers together.

    An outage (`UnavailableError`) is waited out for as long as it takes. A missing dependency is
    waited for, until the event is older than `dependency_wait_seconds`. Where every handler says
    that nothing would change (`PermanentError`), nothing is tried again. All else counts.
    """
    if all(isinstance(error, PermanentError) for error in failures):
        return Verdict(timedelta(), final=True)
    if all(isinstance(error, UnavailableError) for error in failures):
        return Verdict(policy.outage_delay(age), counted=False)
    passing = (UnavailableError, DependencyMissingError)
    patient = age.total_seconds() < policy.dependency_wait_seconds
    if patient and all(isinstance(error, passing) for error in failures):
        return Verdict(policy.dependency_delay(age), counted=False)
    return Verdict(policy.delay(attempts))
