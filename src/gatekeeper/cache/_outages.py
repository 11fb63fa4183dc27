"""What is logged of a Redis that comes and goes."""

import logging
from typing import Final

from gatekeeper.circuit import CircuitChange

logger: Final = logging.getLogger("gatekeeper.cache")


def log_change(change: CircuitChange) -> None:
    """Tell of it once, with the kind of the error and no more: messages of the Redis client hold
    addresses, and answers of a server can hold anything."""
    if change.closed:
        logger.warning("Redis answers again after %.1f s", change.seconds)
        return
    logger.warning(
        "Redis does not answer (%s): values are cached in this process alone, and are up to "
        "their time to live old, until it does",
        type(change.error).__name__,
    )
