"""What must never be in a log, an error or a trace, and how it is blotted out of a text.

By the shape of secrets, so that one is found wherever it comes from: a host's own error, a body
that is repeated, a URL. Our code logs none of it by itself; this is for what it does not foresee.
"""

import re
from typing import Final

_KEY: Final = re.compile(r"\b(sk|rk|whsec|ek|pk(?=_live_|_test_))_[A-Za-z0-9_*]+")
"""API keys and signing secrets (https://docs.stripe.com/keys). Primary keys of tables are
called pk_... too."""

_CLIENT_SECRET: Final = re.compile(r"\b([a-z]{2,8}_[A-Za-z0-9_]{3,100}?)_secret_[A-Za-z0-9%+/=]+")
"""`pi_123_secret_456`: lets a browser pay, and see who pays
(https://docs.stripe.com/api/payment_intents/object#payment_intent_object-client_secret)."""

_AUTHORIZATION: Final = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)
_SIGNATURE: Final = re.compile(r"\b(v[01])=[0-9a-f]{64}\b")
_PASSWORD: Final = re.compile(
    r"(\b[a-z][a-z0-9+.-]{1,30}://)[^\s/@:'\"]{0,100}:[^\s@'\"]{0,200}@", re.IGNORECASE
)
_EMAIL: Final = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")
_DIGITS: Final = re.compile(r"(?<![\w.-])[2-6](?:[ -]?\d){12,18}(?![\w-])")
"""What may be the number of a card: they begin with 2 to 6 (ISO/IEC 7812), which no timestamp of
this time in milliseconds does."""


def redact(text: str) -> str:
    """`text` without keys, secrets, passwords, card numbers and e-mail addresses; what they were
    stays to be seen."""
    text = redact_keys(text)
    if "@" in text:
        text = _PASSWORD.sub(r"\1...@", text)
        text = _EMAIL.sub("[email]", text)
    text = _AUTHORIZATION.sub(r"\1 ...", text)
    text = _SIGNATURE.sub(r"\1=...", text)
    return _DIGITS.sub(_card, text)


def redact_keys(text: str) -> str:
    """`text` with every API key, signing secret and client secret replaced by its beginning."""
    text = _CLIENT_SECRET.sub(r"\1_secret_...", text)
    return _KEY.sub(lambda found: f"{found.group(1)}_...", text)


def _card(found: re.Match[str]) -> str:
    text = found.group()
    return "[card]" if _passes_luhn([int(one) for one in text if one.isdigit()]) else text


def _passes_luhn(digits: list[int]) -> bool:
    """Whether the last digit is the check digit of ISO/IEC 7812-1, annex B."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0
