"""Guards that never run: found at start-up, before anybody gets something for nothing.

A guard written above the route decorator wraps a function that the router has already taken
without it. The router then holds the unguarded original, which is how it is found out.
"""

import functools
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from gatekeeper.errors import GuardPlacementError
from gatekeeper.guards.checks import Check

Handler = Callable[..., Any]
Endpoints = Callable[[], Iterable[tuple[str, Handler]]]
"""Lists the routes of an app, each with its endpoint."""

_CHECKS: Final = "__gatekeeper_checks__"
_GUARDED_BY: Final = "__gatekeeper_guarded_by__"
"""Notes on functions themselves: `functools.wraps` carries them on, so that a host's own decorator
between guard and route hides neither a check nor a guard that is missing."""

_watchers: list[Callable[[], None]] = []


def mark(guarded: Handler, original: Handler, check: Check) -> None:
    """Remember that `guarded` is `original` behind `check`.

    Raises:
        GuardPlacementError: an app that is running serves `original` already.
    """
    vars(guarded).pop(_GUARDED_BY, None)  # what another guard has noted on the same original
    setattr(guarded, _CHECKS, (check, *checks_of(original)))
    if isinstance(original, functools.partial | types.MethodType):
        return  # made on the spot (by Django's method_decorator, say): no router has it
    with suppress(AttributeError):  # a function in C takes no notes
        setattr(original, _GUARDED_BY, check)
    for watcher in tuple(_watchers):
        watcher()


@contextmanager
def watching(check_again: Callable[[], None]) -> Iterator[None]:
    """While an app runs, check its routes whenever a handler is decorated."""
    _watchers.append(check_again)
    try:
        yield
    finally:
        _watchers.remove(check_again)


def checks_of(endpoint: Handler) -> tuple[Check, ...]:
    """The checks that run before an endpoint, the outermost first."""
    found: tuple[Check, ...] = getattr(endpoint, _CHECKS, ())
    return found


def misplaced(endpoints: Iterable[tuple[str, Handler]]) -> Sequence[str]:
    """One fault for each route whose endpoint is the unguarded original of a guarded function."""
    faults = []
    for path, endpoint in endpoints:
        check = getattr(endpoint, _GUARDED_BY, None)
        if check is not None:
            name = getattr(endpoint, "__qualname__", repr(endpoint))
            faults.append(
                f"{path}: {name} is served without its guard {check}. Write the guard below the "
                "route decorator."
            )
    return faults


def check_placement(endpoints: Iterable[tuple[str, Handler]]) -> None:
    """Raise if any route bypasses a guard.

    Raises:
        GuardPlacementError: naming every such route.
    """
    faults = misplaced(endpoints)
    if faults:
        raise GuardPlacementError("Guards that never run:\n  - " + "\n  - ".join(faults))
