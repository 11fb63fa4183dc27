"""Guards that never run: found at start-up, before anybody gets something for nothing.

A guard written above the route decorator wraps a function that the router has already taken
without it. The router then holds the unguarded original, which is how it is found out.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from gatekeeper.errors import GuardPlacementError
from gatekeeper.guards.checks import Check

Handler = Callable[..., Any]
Endpoints = Callable[[], Iterable[tuple[str, Handler]]]
"""Lists the routes of an app, each with its endpoint."""

_checks: WeakKeyDictionary[Handler, tuple[Check, ...]] = WeakKeyDictionary()
_guarded_by: WeakKeyDictionary[Handler, Check] = WeakKeyDictionary()
_watchers: list[Callable[[], None]] = []


def mark(guarded: Handler, original: Handler, check: Check) -> None:
    """Remember that `guarded` is `original` behind `check`.

    Raises:
        GuardPlacementError: an app that is running serves `original` already.
    """
    _checks[guarded] = (check, *_checks.get(original, ()))
    _guarded_by[original] = check
    if isinstance(original, functools.partial):
        return  # made on the spot (by Django's method_decorator, say): no router has it
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
    function = getattr(endpoint, "__func__", endpoint)
    try:
        return _checks.get(function, ())
    except TypeError:  # an endpoint that takes no weak reference is none of ours
        return ()


def misplaced(endpoints: Iterable[tuple[str, Handler]]) -> Sequence[str]:
    """One fault for each route whose endpoint is the unguarded original of a guarded function."""
    faults = []
    for path, endpoint in endpoints:
        function = getattr(endpoint, "__func__", endpoint)
        try:
            check = _guarded_by.get(function)
        except TypeError:
            continue
        if check is not None:
            name = getattr(function, "__qualname__", repr(function))
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
