"""The sound: four tracks, mixed and written as WAV. What an app of this kind would really do."""

import io
import math
import wave
from collections.abc import Callable, Mapping
from typing import Final

RATE: Final = 11_025
SECONDS: Final = 2.0
BEAT: Final = 0.5
"""Seconds."""

CHORD: Final = (261.63, 329.63, 392.0)
MELODY: Final = (523.25, 587.33, 659.25, 587.33)
_HISS: Final = [math.sin(12.9898 * index) * 43_758.5453 % 2 - 1 for index in range(RATE)]

Track = Callable[[float, float], float]
"""A sample, of the time since the beginning and since the last beat, in seconds."""


def _drums(at: float, since: float) -> float:
    return _HISS[int(at * RATE) % RATE] * math.exp(-30 * since)


def _bass(at: float, since: float) -> float:
    return math.sin(2 * math.pi * 65.4 * at) * math.exp(-3 * since)


def _keys(at: float, since: float) -> float:
    return sum(math.sin(2 * math.pi * tone * at) for tone in CHORD) / 3


def _voice(at: float, since: float) -> float:
    tone = MELODY[int(at / BEAT) % len(MELODY)]
    return math.sin(2 * math.pi * tone * at + 3 * math.sin(2 * math.pi * 5 * at))


TRACKS: Final[Mapping[str, Track]] = {
    "drums": _drums,
    "bass": _bass,
    "keys": _keys,
    "voice": _voice,
}


def render(levels: Mapping[str, int], *, loudest: bool = False) -> bytes:
    """A mix as a WAV file.

    Args:
        levels: of each track, from 0 to 100; a track that is not named is silent.
        loudest: as loud as it can be: what a master is, more or less.
    """
    played = [(TRACKS[name], level / 100) for name, level in levels.items() if level]
    samples = []
    for index in range(int(RATE * SECONDS)):
        at = index / RATE
        since = at % BEAT
        samples.append(sum(level * track(at, since) for track, level in played) / len(TRACKS))
    peak = max(map(abs, samples))
    gain = 32_000 * (1 / peak if loudest and peak else 0.9)
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(RATE)
        frames = (int(sample * gain).to_bytes(2, "little", signed=True) for sample in samples)
        wav.writeframes(b"".join(frames))
    return file.getvalue()
