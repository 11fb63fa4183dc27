"""Measuring coverage in greenlets, at the price of a switch and not of every call.

SQLAlchemy runs what is written for threads in greenlets. coverage.py can tell them apart
(`concurrency = ["greenlet"]`), but asks which one it is in at each call and return, which makes
tracing three times as slow. They only need to be told apart where they switch: there each gets a
tracer of its own, as coverage.py gives each thread one.
"""

import sys
import threading
from typing import Any, Final
from weakref import WeakKeyDictionary

import greenlet
from coverage import Coverage

_tracers: Final[WeakKeyDictionary[greenlet.greenlet, Any]] = WeakKeyDictionary()
"""The tracer of each greenlet that has been left."""

_idle: Final[list[Any]] = []
"""Tracers of greenlets that have ended, for those to come."""


def trace_greenlets() -> None:
    """From now on, in this thread and in all that start. Without a measurement, nothing."""
    measuring = Coverage.current()
    begin = threading.gettrace()
    if measuring is None or begin is None:
        return

    def begin_thread(frame: Any, event: Any, arg: Any) -> Any:
        greenlet.settrace(_switched)
        return begin(frame, event, arg)

    threading.settrace(begin_thread)
    greenlet.settrace(_switched)


def _switched(event: str, ends: tuple[greenlet.greenlet, greenlet.greenlet]) -> None:
    """Called by greenlet in the one that has just been switched to."""
    tracer = sys.gettrace()
    if tracer is None:
        return  # this test is not measured
    left, entered = ends
    if left.dead:
        _tracers.pop(left, None)
        _idle.append(tracer)
    else:
        _tracers[left] = tracer
    found: Any = _tracers.get(entered) or (_idle.pop() if _idle else threading.gettrace())
    # A tracer of coverage.py's must be put in place by itself: by `settrace` it would miss what
    # happens until the next call.
    getattr(found, "start", lambda: sys.settrace(found))()
