"""How the cache uses its Redis."""

import re
from dataclasses import dataclass
from typing import Final

from gatekeeper.errors import SettingsError

MAX_FRESH_SECONDS: Final = 1.0
"""Revoked access is denied within this time while Redis is up (invariant 9)."""

_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_.-]{0,64}")


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """Bounds and names. The defaults keep invariant 9 with a quarter of a second to spare.

    Raises:
        SettingsError: a value is outside what the invariants allow.
    """

    fresh_seconds: float = 0.75
    """How old a hit may be when nobody can tell whether an invalidation was missed."""

    heartbeat_seconds: float = 0.2
    """How often a process checks that it still hears the channel."""

    timeout_seconds: float = 0.25
    """How long to wait for a connection, and for an answer."""

    retry_seconds: float = 1.0
    """How often a Redis that does not answer is tried again."""

    max_connections: int = 16
    """Connections of one process, the one that listens among them."""

    prefix: str = "gatekeeper:"
    """Begins every key and channel."""

    namespace: str = ""
    """Keeps two apps apart that share a Redis."""

    def __post_init__(self) -> None:
        faults = []
        if not 0 < self.fresh_seconds <= MAX_FRESH_SECONDS:
            faults.append(
                f"redis fresh_seconds is {self.fresh_seconds}; it must be above 0 and at most "
                f"{MAX_FRESH_SECONDS:g}, the bound within which revoked access is denied"
            )
        if not 0 < self.heartbeat_seconds <= self.fresh_seconds / 2:
            faults.append(
                f"redis heartbeat_seconds is {self.heartbeat_seconds}; it must be above 0 and at "
                f"most half of fresh_seconds ({self.fresh_seconds / 2:g})"
            )
        faults += [
            f"redis {name} is {value}; it must be above 0"
            for name, value in (
                ("timeout_seconds", self.timeout_seconds),
                ("retry_seconds", self.retry_seconds),
            )
            if not value > 0
        ]
        if self.max_connections < 2:
            faults.append(
                f"redis max_connections is {self.max_connections}; it must be at least 2: one "
                "listens"
            )
        if not _NAMESPACE.fullmatch(self.namespace):
            faults.append(
                "redis namespace may hold letters, digits and ._- only, at most 64 of them"
            )
        if faults:
            raise SettingsError(faults)
