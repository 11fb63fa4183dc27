"""What intake has to know about an event, read from the body without building the rest of it.

A body is a snapshot event (https://docs.stripe.com/api/events/object: an object of the API as it
was) or a thin event notification (https://docs.stripe.com/api/v2/core/events: only what changed
where). Both become one `Envelope`. Unknown fields are skipped, so a new API version changes
nothing here; the state is fetched from Stripe later, never taken from the body.

The body has been verified before it comes here, yet it is read as if it were hostile: a signing
secret may leak, and whatever is wrong with a body is a `PayloadError`, a 400.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from gatekeeper.errors import PayloadError

MAX_BODY_BYTES: Final = 2**20
"""The largest body that intake accepts by default: 1 MiB. The caller checks, before it reads on."""

MAX_ID_CHARS: Final = 255
"""The longest id that Stripe makes, by https://docs.stripe.com/upgrades; types and versions are
held to it too. By the same page an id is opaque: no prefix is checked."""

_MAX_UNIX_SECONDS: Final = 253_402_300_799
"""The last second of the year 9999, where `datetime` ends."""

_FIRST: Final = datetime.fromtimestamp(0, UTC)
_LAST: Final = datetime.fromtimestamp(_MAX_UNIX_SECONDS, UTC)

# Python converts at most 4,300 digits to an int. A longer run of digits covers at least four of
# the bytes that a stride of 1,024 meets.
_DIGITS_STRIDE: Final = 1_024
_DIGITS_MET: Final = re.compile(rb"[0-9]{4}").search

_KINDS: Final = {"v2.core.account": "account"}
"""What API v2 calls an object that API v1 knows by another name, with the same id."""

_is_token: Final = re.compile(r"[A-Za-z0-9_-]+").fullmatch
_is_name: Final = re.compile(r"[A-Za-z0-9_.\[\]-]+").fullmatch
_is_harmless: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]+").fullmatch

_MAX_EXPLANATION_CHARS: Final = 200
"""A path to the place of a fault is as long as the body is deep."""

_Text = Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS)]


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """The parts of an event that decide where it goes.

    A msgspec struct, not a dataclass: a frozen dataclass of this size costs 2 us to build, as much
    as reading the whole body.

    Attributes:
        id: the event's id, unique within its account and mode.
        kind: "snapshot", or "thin" for an event notification.
        type: for example "invoice.paid".
        api_version: the version that the snapshot is in; a thin event has none.
        created: when Stripe made it, UTC, in whole seconds for a snapshot.
        livemode: False for an event of a test mode or sandbox.
        account: the Connect account it happened on, of a snapshot.
        context: the account or path of accounts it happened on, of a thin event.
        object_id: the id of the object it tells of; a few objects (a balance, the preview of an
            invoice) have none.
        object_type: for example "invoice"; None for a thin event that tells of no object.
        request_id: the API request that caused it, if one did.
        snapshot_id: of a thin event, the id of the snapshot event that tells of the same change
            (https://docs.stripe.com/webhooks/migrate-snapshot-to-thin-events).
    """

    id: str
    kind: Literal["snapshot", "thin"]
    type: str
    api_version: str | None
    created: datetime
    livemode: bool
    account: str | None
    context: str | None
    object_id: str | None
    object_type: str | None
    request_id: str | None
    snapshot_id: str | None = None

    @property
    def owner(self) -> str | None:
        """The account whose object it is: the last of a path such as "acct_1/acct_2", from the
        receiver's own account down (https://docs.stripe.com/context); None: the receiver's own."""
        return self.account or (self.context or "").rstrip("/").rpartition("/")[2] or None


# What msgspec reads into. `gc=False`: none of these can be part of a cycle, so the garbage
# collector need not know them.


class _Request(msgspec.Struct, gc=False):
    id: _Text | None = None


class _Object(msgspec.Struct, gc=False):
    object: _Text
    id: _Text | None = None


class _Data(msgspec.Struct, gc=False):
    object: _Object


class _Snapshot(msgspec.Struct, tag_field="object", tag="event", gc=False):
    id: _Text
    type: _Text
    created: Annotated[int, Meta(ge=0, le=_MAX_UNIX_SECONDS)]
    livemode: bool
    data: _Data
    api_version: _Text | None = None
    account: _Text | None = None
    context: _Text | None = None
    request: _Request | _Text | None = None  # a string before API version 2017-05-25


class _RelatedObject(msgspec.Struct, gc=False):
    id: _Text
    type: _Text


class _Reason(msgspec.Struct, gc=False):
    request: _Request | None = None


class _Thin(msgspec.Struct, tag_field="object", tag="v2.core.event", gc=False):
    id: _Text
    type: _Text
    created: Annotated[datetime, Meta(tz=True)]
    livemode: bool
    related_object: _RelatedObject | None = None
    context: _Text | None = None
    reason: _Reason | None = None
    snapshot_event: _Text | None = None


_decoder: Final = msgspec.json.Decoder(_Snapshot | _Thin)


def parse(body: bytes) -> Envelope:
    """Return the envelope of the event in `body`.

    The caller has checked that `body` is no larger than its limit; the work here is linear in it.

    Raises:
        PayloadError: the body is not UTF-8, not JSON, not an event, holds a number that can't be
            converted or is nested too deeply, or one of the fields of `Envelope` is missing, of a
            wrong type, too long or holds characters that it must not hold.
    """
    try:
        if not body.isascii():
            body.decode()  # msgspec does not look into the strings that it skips
        event = _decoder.decode(body)
        if _DIGITS_MET(body[::_DIGITS_STRIDE]):
            msgspec.json.decode(
                body
            )  # ... nor convert the numbers: any that is too long fails here
    except UnicodeDecodeError:
        raise PayloadError("The body is not UTF-8.") from None
    except RecursionError:
        raise PayloadError("The body is nested too deeply.") from None
    except msgspec.DecodeError as error:  # ValidationError is one
        raise PayloadError(_explain(error)) from None
    if isinstance(event, _Snapshot):
        return _from_snapshot(event)
    return _from_thin(event)


def _from_snapshot(event: _Snapshot) -> Envelope:
    request = event.request
    request_id = request.id if isinstance(request, _Request) else request
    target = event.data.object
    envelope = Envelope(
        id=event.id,
        kind="snapshot",
        type=event.type,
        api_version=event.api_version,
        created=datetime.fromtimestamp(event.created, UTC),
        livemode=event.livemode,
        account=event.account,
        context=event.context,
        object_id=target.id,
        object_type=target.object,
        request_id=request_id,
    )
    _check_characters(envelope)
    return envelope


def _from_thin(event: _Thin) -> Envelope:
    target = event.related_object
    request = event.reason.request if event.reason else None
    try:
        created = event.created.astimezone(UTC)
    except OverflowError:  # an hour of the year 1 or 9999 that has no place in UTC
        raise _out_of_range() from None
    if not _FIRST <= created <= _LAST:  # the ends of `datetime` are infinity to PostgreSQL
        raise _out_of_range()
    envelope = Envelope(
        id=event.id,
        kind="thin",
        type=event.type,
        api_version=None,
        created=created,
        livemode=event.livemode,
        account=None,
        context=event.context,
        object_id=target.id if target else None,
        object_type=_KINDS.get(target.type, target.type) if target else None,
        request_id=request.id if request else None,
        snapshot_id=event.snapshot_event,
    )
    _check_characters(envelope)
    return envelope


def _out_of_range() -> PayloadError:
    return PayloadError("The field `created` is out of range.")


def _check_characters(envelope: Envelope) -> None:
    """Refuse what could break a log line, a key or a database: control characters above all.

    One test a field and no loop: this is the hot path of intake.
    """
    if not _is_token(envelope.id):
        raise _bad_characters("id")
    if not _is_name(envelope.type):
        raise _bad_characters("type")
    if envelope.object_type is not None and not _is_name(envelope.object_type):
        raise _bad_characters("type of the object")
    object_id = envelope.object_id
    # Products, plans and coupons have ids that the account's owner chose: with blanks, in any
    # script. `isprintable` is the quick answer for all others.
    if object_id is not None and not object_id.isprintable() and not _is_harmless(object_id):
        raise _bad_characters("id of the object")
    if envelope.api_version is not None and not envelope.api_version.isprintable():
        raise _bad_characters("api_version")
    if envelope.account is not None and not _is_token(envelope.account):
        raise _bad_characters("account")
    if envelope.context is not None and not envelope.context.isprintable():
        raise _bad_characters("context")
    if envelope.request_id is not None and not envelope.request_id.isprintable():
        raise _bad_characters("id of the request")
    if envelope.snapshot_id is not None and not _is_token(envelope.snapshot_id):
        raise _bad_characters("snapshot_event")


def _bad_characters(what: str) -> PayloadError:
    return PayloadError(f"The {what} of the event holds characters that it must not hold.")


def _explain(error: msgspec.DecodeError) -> str:
    """Say what msgspec found: its messages name types and places, and only one kind a value."""
    text = str(error)
    if text.startswith("Invalid value"):
        return "The body's `object` is neither 'event' nor 'v2.core.event'."
    return f"The body is not an event: {text[:_MAX_EXPLANATION_CHARS]}."
