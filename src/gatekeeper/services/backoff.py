"""How long to wait before something is tried again: half of it is certain, half is chance
(https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/)."""

import random
from datetime import timedelta


def jittered(ceiling_seconds: float) -> timedelta:
    """Between half of this time and all of it."""
    return timedelta(seconds=ceiling_seconds * (0.5 + random.random() / 2))  # noqa: S311 -- jitter


def after_failures(attempts: int, first_seconds: float, longest_seconds: float) -> timedelta:
    """The wait after `attempts` failures: it doubles with each."""
    return jittered(min(longest_seconds, first_seconds * 2 ** min(attempts - 1, 30)))


def in_outage(age: timedelta, first_seconds: float, longest_seconds: float) -> timedelta:
    """The wait of what has waited for `age` already: about as long again."""
    return jittered(min(longest_seconds, max(first_seconds, age.total_seconds())))
