"""Strokes, by hand and by a model that is none: a real app asks its own here."""

import hashlib
import math
from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta

WIDTH, HEIGHT = 1_000, 600

Point = tuple[
    Annotated[float, Meta(ge=-50, le=WIDTH + 50)], Annotated[float, Meta(ge=-50, le=HEIGHT + 50)]
]
COLORS = ("ink", "red", "green", "blue", "amber")


class Stroke(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A line through points of a board of 1,000 by 600."""

    color: Annotated[str, Meta(pattern=f"^({'|'.join(COLORS)})$")]
    points: Annotated[list[Point], Meta(min_length=2, max_length=600)]


class Wish(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What the AI is to draw."""

    text: Annotated[str, Meta(min_length=1, max_length=200)]


Curve = Callable[[float], tuple[float, float]]


def sketch(text: str) -> list[Stroke]:
    """A drawing for some words: always the same for the same."""
    digest = hashlib.sha256(text.encode()).digest()
    x, y = 150 + digest[0] / 255 * (WIDTH - 300), 150 + digest[1] / 255 * (HEIGHT - 300)
    size = 70 + digest[2] / 255 * 70
    petals = 3 + digest[3] % 5
    outline = _closed(lambda t: _rose(t, petals), x, y, size)
    heart = _closed(lambda t: (math.cos(t) / 6, math.sin(t) / 6), x, y, size)
    spiral = _closed(_spiral, x, y, size * 1.2)
    inner = heart if digest[4] % 2 else spiral
    colors = COLORS[1:]
    return [
        Stroke(colors[digest[5] % len(colors)], outline),
        Stroke(colors[(digest[5] + 1) % len(colors)], inner),
    ]


def _rose(t: float, petals: int) -> tuple[float, float]:
    radius = 0.6 + 0.4 * math.cos(petals * t)
    return radius * math.cos(t), radius * math.sin(t)


def _spiral(t: float) -> tuple[float, float]:
    radius = t / math.tau * 0.5
    return radius * math.cos(3 * t), radius * math.sin(3 * t)


def _closed(curve: Curve, x: float, y: float, size: float) -> list[Point]:
    steps = (curve(math.tau * step / 120) for step in range(121))
    return [(round(x + size * dx, 1), round(y + size * dy, 1)) for dx, dy in steps]


SHADES = {
    "ink": "#33333d",
    "red": "#d6455d",
    "green": "#2f9e63",
    "blue": "#4f6bed",
    "amber": "#d98a1f",
}


def svg(strokes: list[Stroke]) -> str:
    """A board as a picture that can be taken elsewhere."""
    lines = "".join(
        f'<polyline points="{" ".join(f"{x:g},{y:g}" for x, y in stroke.points)}" '
        f'stroke="{SHADES[stroke.color]}"/>'
        for stroke in strokes
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" fill="none" '
        f'stroke-width="4" stroke-linecap="round" stroke-linejoin="round">{lines}</svg>'
    )
