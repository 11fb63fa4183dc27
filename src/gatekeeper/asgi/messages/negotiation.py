"""Which language somebody reads, by Accept-Language (RFC 9110, 12.5.4; RFC 4647, 3.4)."""

import re
from collections.abc import Collection
from typing import Final

_MAX_CHARS: Final = 1_000
_RANGE: Final = re.compile(
    r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*|\*)\s*(?:;\s*[qQ]\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?"
)


def negotiated(accepted: str | None, languages: Collection[str], default: str) -> str:
    """The language of ours that is wished for most, else `default`.

    A wish for a country's own ("fr-BE") is met by the language. What is no language range is passed
    over, as if it were not there.
    """
    quality: dict[str, float] = {}
    order: list[str] = []
    for part in (accepted or "")[:_MAX_CHARS].split(","):
        found = _RANGE.fullmatch(part)
        if found is None:
            continue
        language = found[1].lower().partition("-")[0]
        wish = 1.0 if found[2] is None else float(found[2])
        if language not in quality:
            order.append(language)
        quality[language] = max(wish, quality.get(language, 0.0))
    if "*" in quality:  # any that is not named
        unnamed = [default, *languages]
        order += [one for one in unnamed if one not in quality]
        quality = {**dict.fromkeys(unnamed, quality["*"]), **quality}
    wished = [one for one in order if one in languages and quality[one] > 0]
    return max(wished, key=lambda one: quality[one], default=default)
