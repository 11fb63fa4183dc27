"""Cells that compare: how many times as much, and whether an aim is reached."""

import math

from benchmarks._samples import Found


def times_as_many(ours: Found, theirs: Found, aim: float | None = None) -> str:
    """How many times their throughput we have; `aim` is the least that we want."""
    return verdict(quotient(ours.per_second, theirs.per_second), aim, at_least=True)


def times_as_long(ours: Found, theirs: Found, aim: float | None = None) -> str:
    """How many times their median latency ours is; `aim` is the most that we want."""
    return "p50 " + verdict(quotient(ours.p50_ms, theirs.p50_ms), aim, at_least=False)


def quotient(one: float, other: float) -> float:
    """One by the other; not a number if the other is zero: a short run may have ended no pair."""
    return one / other if other else math.nan


def verdict(ratio: float, aim: float | None, *, at_least: bool) -> str:
    """A ratio with its aim, which what could not be measured (not a number) has missed."""
    text = f"{ratio:,.2f} x"
    if aim is None:
        return text
    met = ratio >= aim if at_least else ratio <= aim
    return f"{text} (aim {'>=' if at_least else '<='} {aim:g} x: {'met' if met else 'MISSED'})"
