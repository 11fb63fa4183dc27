"""Does this body come from Stripe? The check of the `Stripe-Signature` header.

The rules are those of https://docs.stripe.com/webhooks#verify-manually, with bounds: Stripe signs
`<timestamp>.<body>` with HMAC-SHA256 under the endpoint's secret and sends
`t=<timestamp>,v1=<hex>`; during a rotation of the secret there is one `v1` for each secret. Other
schemes (`v0` is for test events of old) are ignored, or a downgrade would be possible.

Everything here is pure and cheap: what is wrong with a header is found before anything is hashed,
and no message repeats what came from outside or a secret.
"""

import functools
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from gatekeeper.errors import ConfigurationError, SignatureError

DEFAULT_TOLERANCE_SECONDS: Final = 300
"""How far the signed timestamp may be from now, in either direction: as in Stripe's libraries."""

MAX_HEADER_BYTES: Final = 4_096
"""Stripe sends about 200 bytes; 16 signatures of 68 bytes are 1,100."""

MAX_SIGNATURES: Final = 16
"""How many `v1` signatures a header may have. Stripe sends one for each secret still in force."""

_MAX_TIMESTAMP_DIGITS: Final = 11
"""Unix seconds have 10 digits until the year 2286. `int()` of more would be work for nothing."""


def verify(
    body: bytes,
    header: str | bytes | None,
    secrets: Sequence[str],
    now: datetime,
    tolerance_seconds: int = DEFAULT_TOLERANCE_SECONDS,
) -> datetime:
    """Return the moment at which Stripe signed `body`, as an aware UTC datetime.

    `body` is the exact bytes of the request. `header` is the value of `Stripe-Signature`, None if
    the request had none. A signature by any of `secrets` will do, so that one can be rotated.

    Raises:
        SignatureError: the header is missing, malformed or too large, the timestamp is more than
            `tolerance_seconds` before or after `now`, or no signature fits.
        ConfigurationError: no usable secret, a tolerance below one second, or a naive `now`.
    """
    _check_setup(secrets, now, tolerance_seconds)
    text = _as_ascii(header)
    timestamp, signatures = _parse(text)
    signed_at = int(timestamp)
    age_seconds = now.timestamp() - signed_at
    if age_seconds > tolerance_seconds:
        raise SignatureError(f"The signature is more than {tolerance_seconds} seconds old.")
    if age_seconds < -tolerance_seconds:
        raise SignatureError(
            f"The signature is from more than {tolerance_seconds} seconds in the future. "
            "Is the clock of this machine right?"
        )
    prefix = timestamp.encode() + b"."
    for secret in secrets:
        mac = _keyed(secret).copy()
        mac.update(prefix)
        mac.update(body)
        expected = mac.hexdigest()
        for signature in signatures:
            if hmac.compare_digest(expected, signature):
                return datetime.fromtimestamp(signed_at, UTC)
    raise SignatureError(
        "No signature fits the body. Either Stripe did not send it, or the secret is another "
        "endpoint's, or the body was changed on its way here (parsed and written again, say)."
    )


def sign(body: bytes, secret: str, at: datetime) -> str:
    """Return the `Stripe-Signature` header that Stripe would send for `body` at the moment `at`.

    For tests, event factories and the simulator. Fractions of a second are cut off.
    """
    timestamp = int(at.timestamp())
    signature = hmac.digest(secret.encode(), b"%d.%b" % (timestamp, body), "sha256").hex()
    return f"t={timestamp},v1={signature}"


@functools.lru_cache(maxsize=32)
def _keyed(secret: str) -> hmac.HMAC:
    """An HMAC that has taken in its key and nothing else, to copy: a quarter of a small check."""
    return hmac.new(secret.encode(), digestmod="sha256")


def _check_setup(secrets: Sequence[str], now: datetime, tolerance_seconds: int) -> None:
    """Refuse a set-up that would let anybody in: the host's mistakes, not the sender's."""
    if isinstance(secrets, str):  # a str is a Sequence[str] too: of one-character secrets
        raise ConfigurationError("The webhook secrets must be a sequence of strings, not a string.")
    if not secrets or not all(map(str.strip, secrets)):
        raise ConfigurationError("A webhook signing secret is missing or empty (whsec_...).")
    if tolerance_seconds < 1:
        raise ConfigurationError(
            "The tolerance of webhook signatures must be at least one second: without it, "
            "a recorded request could be replayed for ever."
        )
    if now.tzinfo is None:
        raise ConfigurationError("The present moment must be an aware datetime.")


def _as_ascii(header: str | bytes | None) -> str:
    if not header:
        raise SignatureError("The request has no Stripe-Signature header.")
    if len(header) > MAX_HEADER_BYTES:
        raise SignatureError(f"The Stripe-Signature header is over {MAX_HEADER_BYTES} bytes long.")
    if not header.isascii():
        raise SignatureError("The Stripe-Signature header is not ASCII.")
    return header if isinstance(header, str) else header.decode("ascii")


def _parse(header: str) -> tuple[str, list[str]]:
    """Return the digits of `t`, in the only form that Stripe writes, and the `v1` signatures."""
    timestamp = ""
    signatures: list[str] = []
    for part in header.split(","):
        scheme, _, value = part.partition("=")
        if scheme == "v1":
            signatures.append(value)
        elif scheme == "t":
            if timestamp:
                raise SignatureError("The Stripe-Signature header has more than one timestamp.")
            if len(value) > _MAX_TIMESTAMP_DIGITS or not value.isdigit() or value[0] == "0":
                raise SignatureError("The timestamp of the Stripe-Signature header is malformed.")
            timestamp = value
    if not timestamp:
        raise SignatureError("The Stripe-Signature header has no timestamp.")
    if not signatures:
        raise SignatureError("The Stripe-Signature header has no v1 signature.")
    if len(signatures) > MAX_SIGNATURES:
        raise SignatureError(
            f"The Stripe-Signature header has more than {MAX_SIGNATURES} signatures."
        )
    return timestamp, signatures
