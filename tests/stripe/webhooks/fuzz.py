"""Requests to the webhook route as nobody should send them: each made from its number alone.

`attempt(number)` is always the same request, so that one that was found to break something can be
sent again. A part of them is what Stripe sends: what is accepted is fuzzed too.
"""

import copy
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from gatekeeper.stripe.signature import sign
from gatekeeper.testing.events import (
    DEFAULT_SECRET,
    checkout_session,
    invoice,
    make_event,
    stripe_customer,
    subscription,
    thin_event,
)
from tests.stripe.world import ManualClock

T = TypeVar("T")

MAX_BODY_BYTES: Final = 16 * 1024
NOW: Final = ManualClock().now

Message = dict[str, Any]
Headers = list[tuple[bytes, bytes]]

_WHOLE: Final = [
    make_event("invoice.paid", invoice(), id="evt_paid"),
    make_event("customer.subscription.created", subscription(), id="evt_created"),
    make_event("checkout.session.completed", checkout_session(), id="evt_checkout"),
    make_event("customer.updated", stripe_customer(name="Zoë ✓ 🐍"), id="evt_zoe"),
    make_event("balance.available", {"object": "balance"}, id="evt_balance"),
    make_event("charge.succeeded", {"id": "ch_1", "object": "charge"}, account="acct_2"),
    make_event("invoice.paid", invoice(), id="evt_live", livemode=True),
    thin_event("v1.invoice.paid", object_type="invoice", object_id="in_1", id="evt_thin"),
    thin_event("v2.core.account.closed", object_type="v2.core.account", object_id="acct_3"),
]


@dataclass
class Attempt:
    """One request: its head, and the messages in which its body comes. `None` among them: nothing
    comes any more, for ever."""

    number: int
    method: str = "POST"
    headers: Headers = field(default_factory=list)
    messages: list[Message | None] = field(default_factory=list)
    body: bytes = b""
    did: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"attempt {self.number}: {', '.join(self.did)}; {self.body[:300]!r}"


class Fuzz:
    """Makes one attempt."""

    def __init__(self, number: int) -> None:
        self.chance = random.Random(number)
        self.made = Attempt(number)

    def make(self) -> Attempt:
        made, chance = self.made, self.chance
        if chance.random() < 0.02:
            made.method = chance.choice(["GET", "PUT", "HEAD", "DELETE", "OPTIONS", "BREW", "post"])
        made.body = self._pick(_BODIES)
        self._pick(_HEADERS)
        for _ in range(chance.choice([0, 0, 0, 1, 2])):
            self._pick(_MORE_HEADERS)
        made.messages = self._pick(_CHUNKS)
        return made

    def _pick(self, ways: "Mapping[Callable[[Fuzz], T], int]") -> "T":
        (way,) = self.chance.choices(list(ways), list(ways.values()))
        self.made.did.append(way.__name__)
        return way(self)


# -- bodies ---------------------------------------------------------------------------------------


def plain(fuzz: Fuzz) -> bytes:
    return json.dumps(_event(fuzz)).encode()


def _event(fuzz: Fuzz) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(json.dumps(fuzz.chance.choice(_WHOLE)))
    if fuzz.chance.random() < 0.7:
        event["id"] = f"evt_{fuzz.made.number}"
    return event


def noise(fuzz: Fuzz) -> bytes:
    return fuzz.chance.randbytes(fuzz.chance.choice([0, 1, 2, 16, 300, 5_000]))


def odd_values(fuzz: Fuzz) -> bytes:
    """A real event with values that are something else."""
    event = _event(fuzz)
    for _ in range(fuzz.chance.choice([1, 1, 2, 5])):
        _replace(fuzz, event)
    return json.dumps(event, ensure_ascii=fuzz.chance.random() < 0.5).encode(errors="surrogatepass")


_ODD: Final[list[Any]] = [
    *(None, True, False, 0, -1, 1.5, -0.0, 1e308, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400),
    *("", " ", "\x00", "a\x00b", "\ud800", "\udfff\ud800", "\x7f", "\u2028", "\u202e", "\ufeff"),
    *("ü" * 300, "x" * 256, "x" * 5_000, "evt_1'; DROP TABLE inbox; --", "../..", "%00", "\r\n"),
    *("acct_1/acct_2", "////", "2026-01-01", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"),
    *("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "event", "v2.core.event"),
    *([], {}, [[]], [{}], {"id": "x"}, {"object": None}, {"object": {"object": {}}}, [None] * 50),
    *(253_402_300_799, 253_402_300_800, -1, 1e10, "NaN"),
]


def _replace(fuzz: Fuzz, event: Any) -> None:
    """Put something odd into one place of an event, mostly near its top."""
    chance, place = fuzz.chance, event
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = chance.choice(keys)
        inner = place[key]
        if not isinstance(inner, dict | list) or chance.random() < 0.5:
            break
        place = inner
    what = chance.random()
    if what < 0.1:
        del place[key]
    elif what < 0.15 and isinstance(place, dict):
        place[chance.choice(["id", "object", "type", "context", "account", "snapshot_event"])] = (
            place.pop(key)
        )
    else:
        place[key] = copy.deepcopy(chance.choice(_ODD))


def broken_bytes(fuzz: Fuzz) -> bytes:
    """A real event with bytes changed, lost, doubled or moved."""
    body = bytearray(plain(fuzz))
    for _ in range(fuzz.chance.choice([1, 1, 3, 20])):
        at, upto = sorted(fuzz.chance.choices(range(len(body) + 1), k=2))
        match fuzz.chance.randrange(5):
            case 0:
                body[at:at] = fuzz.chance.randbytes(fuzz.chance.randint(1, 4))
            case 1:
                del body[at : min(upto, at + 8)]
            case 2:
                body[at:at] = body[at : min(upto, at + 200)]
            case 3 if at < len(body):
                body[at] ^= 1 << fuzz.chance.randrange(8)
            case _:
                del body[upto:]
        if not body:
            break
    return bytes(body[: 2 * MAX_BODY_BYTES])


def deep(fuzz: Fuzz) -> bytes:
    depth = fuzz.chance.choice([10, 500, 1_200, 3_000])
    opening, closing = fuzz.chance.choice([(b"[", b"]"), (b'{"a":', b"}")])
    if fuzz.chance.random() < 0.3:
        closing = b""
    return _with_field(fuzz, b'"deep"', opening * depth + b"1" + closing * depth)


def long_number(fuzz: Fuzz) -> bytes:
    digits = b"9" * fuzz.chance.choice([18, 19, 20, 40, 400, 4_299, 4_301, 10_000])
    number = fuzz.chance.choice([b"", b"-"]) + digits
    number += fuzz.chance.choice([b"", b".5", b"e5", b"E+99999999", b"e-99999999"])
    return _with_field(fuzz, fuzz.chance.choice([b'"created"', b'"n"', b'"livemode"']), number)


def not_utf_8(fuzz: Fuzz) -> bytes:
    odd = fuzz.chance.choice(
        [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\x80"]
    )
    return _with_field(fuzz, fuzz.chance.choice([b'"id"', b'"type"', b'"n"']), b'"' + odd + b'"')


def doubled_keys(fuzz: Fuzz) -> bytes:
    key = fuzz.chance.choice(["id", "type", "object", "data", "created", "livemode", "account"])
    value = json.dumps(fuzz.chance.choice(_ODD)).encode()
    return _with_field(fuzz, json.dumps(key).encode(), value)


def not_quite_json(fuzz: Fuzz) -> bytes:
    body = plain(fuzz)
    return fuzz.chance.choice(
        [
            b"\xef\xbb\xbf" + body,
            b" \n\t" + body + b"\n",
            body + b"\x00",
            body + body,
            b"[" + body + b"]",
            b"null",
            b"[]",
            b'"event"',
            b"NaN",
            body.replace(b"false", b"NaN"),
            body.replace(b"false", b"Infinity"),
            body.replace(b'"', b"'"),
            body[:-1] + b",}",
            b"/* */" + body,
            body.decode().encode("utf-16"),
            body.decode().encode("utf-32-le"),
        ]
    )


def large(fuzz: Fuzz) -> bytes:
    """As long as is allowed, or a little longer, or much."""
    body = plain(fuzz)
    size = MAX_BODY_BYTES + fuzz.chance.choice([-1, 0, 1, 100, MAX_BODY_BYTES])
    return body + b" " * (size - len(body))


def _with_field(fuzz: Fuzz, key: bytes, value: bytes) -> bytes:
    body = plain(fuzz)
    if fuzz.chance.random() < 0.5:
        return b"{" + key + b":" + value + b"," + body[1:]
    return body[:-1] + b"," + key + b":" + value + b"}"


# -- headers --------------------------------------------------------------------------------------


def _signature(fuzz: Fuzz, *, at: datetime = NOW, secret: str = DEFAULT_SECRET) -> bytes:
    return sign(fuzz.made.body, secret, at).encode()


def _add(fuzz: Fuzz, value: bytes, name: bytes = b"stripe-signature") -> None:
    fuzz.made.headers.append((name, value))


def right(fuzz: Fuzz) -> None:
    _add(fuzz, _signature(fuzz))


def right_among_others(fuzz: Fuzz) -> None:
    """What a rotation of the secret looks like, in one header or in several."""
    time, _, good = _signature(fuzz).partition(b",")
    other = _signature(fuzz, secret="whsec_other").partition(b",")[2]
    parts = [good, *[other] * fuzz.chance.randint(1, 4), b"v0=" + b"0" * 64, b"v2=x"]
    fuzz.chance.shuffle(parts)
    if fuzz.chance.random() < 0.5:
        _add(fuzz, b",".join([time, *parts]))
    else:
        for part in (time, *parts):
            _add(fuzz, part)


def of_another_secret(fuzz: Fuzz) -> None:
    _add(fuzz, _signature(fuzz, secret=fuzz.chance.choice(["whsec_other", "", "x" * 999])))


def of_another_time(fuzz: Fuzz) -> None:
    seconds = fuzz.chance.choice([-(10**9), -301, -300, 300, 301, 10**9])
    _add(fuzz, _signature(fuzz, at=NOW + timedelta(seconds=seconds)))


def of_another_body(fuzz: Fuzz) -> None:
    _add(fuzz, sign(fuzz.made.body + b" ", DEFAULT_SECRET, NOW).encode())


def changed(fuzz: Fuzz) -> None:
    """A right signature with something changed in it."""
    value = _signature(fuzz)
    time, _, good = value.partition(b",")
    at = fuzz.chance.randrange(len(value))
    _add(
        fuzz,
        fuzz.chance.choice(
            [
                value[:-1],
                value[:at] + fuzz.chance.randbytes(1) + value[at + 1 :],
                value.upper(),
                value.replace(b"v1", b"v0"),
                value.replace(b"=", b""),
                value.replace(b",", b";"),
                b" " + value,
                b"t=0" + value[2:],
                b"t=+" + value[2:],
                b"t=" + b"9" * 400 + b"," + good,
                "t=١٧٦٧٢٢٩٢٠٠,".encode() + good,
                b"t=1_767_229_200," + good,
                time + b"," + value,
                good,
                time,
                time + b",v1=" + b"\xff" * 64,
                time + b",v1=",
                value + b",v1=" + b"0" * 5_000,
                value + b",v1=00" * 100_000,
                value + b",v1=00" * 16,
                b"," * 4_000,
                b"=" * 4_000,
                b"t=,v1=",
                b"\x00" + value,
                value + b"\r\nx: y",
            ]
        ),
    )


def none(fuzz: Fuzz) -> None:
    """No signature, or one of another name."""
    if fuzz.chance.random() < 0.5:
        _add(fuzz, _signature(fuzz), fuzz.chance.choice([b"x-signature", b"stripe-signature-v2"]))


def noise_for_signature(fuzz: Fuzz) -> None:
    _add(fuzz, fuzz.chance.randbytes(fuzz.chance.choice([0, 1, 100, 4_096, 4_097, 20_000])))


_NO_NUMBERS: Final = [b"", b"x", b"1e3", b"+5", b"0x10", b" 5 ", b"5,5", b"\xd9\xa5", b"\xb2"]


def content_length(fuzz: Fuzz) -> None:
    size = len(fuzz.made.body)
    lies = [size, 0, 1, size - 1, size + 1, MAX_BODY_BYTES, MAX_BODY_BYTES + 1, 10**19, 10**30, -1]
    told = [str(fuzz.chance.choice(lies)).encode()]
    told.append(fuzz.chance.choice(_NO_NUMBERS))
    for value in fuzz.chance.choice([told[:1], told[1:], told, told[::-1]]):
        _add(fuzz, value, b"content-length")


def content_encoding(fuzz: Fuzz) -> None:
    encodings = [b"gzip", b"br", b"identity", b"gzip, gzip", b"\xff", b"chunked"]
    names = [b"content-encoding", b"transfer-encoding"]
    _add(fuzz, fuzz.chance.choice(encodings), fuzz.chance.choice(names))


def content_type(fuzz: Fuzz) -> None:
    types = [b"application/json; charset=utf-16", b"multipart/form-data", b"text/xml", b"\xfe", b""]
    _add(fuzz, fuzz.chance.choice(types), b"content-type")


def many(fuzz: Fuzz) -> None:
    for number in range(500):
        _add(fuzz, fuzz.chance.randbytes(8), b"x-%d" % number)


def twice(fuzz: Fuzz) -> None:
    if fuzz.made.headers:
        fuzz.made.headers.append(fuzz.chance.choice(fuzz.made.headers))


# -- chunks ---------------------------------------------------------------------------------------


def _messages(chunks: list[bytes]) -> list[Message | None]:
    parts: list[Message | None] = [
        {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
    ]
    return [*parts, {"type": "http.request", "body": b"", "more_body": False}]


def at_once(fuzz: Fuzz) -> list[Message | None]:
    return [{"type": "http.request", "body": fuzz.made.body, "more_body": False}]


def bare(fuzz: Fuzz) -> list[Message | None]:
    """The keys that a server may leave out are left out."""
    if fuzz.made.body:
        return [{"type": "http.request", "body": fuzz.made.body}]
    return [{"type": "http.request"}]


def byte_by_byte(fuzz: Fuzz) -> list[Message | None]:
    body = fuzz.made.body[:2_000]
    fuzz.made.body = body
    return _messages([body[at : at + 1] for at in range(len(body))])


def in_pieces(fuzz: Fuzz) -> list[Message | None]:
    body, chunks, at = fuzz.made.body, [], 0
    while at < len(body):
        upto = at + fuzz.chance.choice([0, 0, 7, 100, 1_000, 10_000])
        chunks.append(body[at:upto])
        at = upto
    return _messages(chunks)


def mostly_empty(fuzz: Fuzz) -> list[Message | None]:
    return _messages([b""] * fuzz.chance.choice([1, 100, 2_500]) + [fuzz.made.body] + [b""] * 3)


def gone(fuzz: Fuzz) -> list[Message | None]:
    """The client goes away before the end."""
    chunks = in_pieces(fuzz)[:-1]
    return [*chunks[: fuzz.chance.randrange(len(chunks) + 1)], {"type": "http.disconnect"}]


def stalled(fuzz: Fuzz) -> list[Message | None]:
    """The rest never comes."""
    chunks = in_pieces(fuzz)[:-1]
    return [*chunks[: fuzz.chance.randrange(len(chunks) + 1)], None]


_BODIES: Final[Mapping[Callable[[Fuzz], bytes], int]] = {
    plain: 24,
    odd_values: 30,
    broken_bytes: 15,
    noise: 6,
    deep: 6,
    long_number: 8,
    not_utf_8: 5,
    doubled_keys: 8,
    not_quite_json: 6,
    large: 6,
}
_HEADERS: Final[Mapping[Callable[[Fuzz], None], int]] = {
    right: 100,
    right_among_others: 8,
    of_another_secret: 5,
    of_another_time: 6,
    of_another_body: 4,
    changed: 12,
    none: 4,
    noise_for_signature: 4,
}
_MORE_HEADERS: Final[Mapping[Callable[[Fuzz], None], int]] = {
    content_length: 4,
    content_encoding: 2,
    content_type: 2,
    many: 1,
    twice: 2,
}
_CHUNKS: Final[Mapping[Callable[[Fuzz], list[Message | None]], int]] = {
    at_once: 50,
    bare: 5,
    byte_by_byte: 8,
    in_pieces: 20,
    mostly_empty: 5,
    gone: 6,
    stalled: 1,
}


def attempt(number: int) -> Attempt:
    """The request of a number."""
    return Fuzz(number).make()
