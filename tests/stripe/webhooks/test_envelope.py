"""The envelope: what a real event says is read, whatever else is a PayloadError."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import stripe
from hypothesis import example, given
from hypothesis import strategies as st

from gatekeeper.errors import PayloadError
from gatekeeper.stripe.webhooks.envelope import MAX_BODY_BYTES, MAX_ID_CHARS, Envelope, parse

SNAPSHOT: dict[str, Any] = {
    "id": "evt_1NG8Du2eZvKYlo2CUI79vXWy",
    "object": "event",
    "api_version": "2026-10-28.endive",
    "created": 1_686_089_970,
    "data": {
        "object": {
            "id": "in_1NG8Du2eZvKYlo2C",
            "object": "invoice",
            "amount_due": 999,
            "lines": {"object": "list", "data": [{"id": "il_1", "amount": 9.5e2}]},
            "description": "1 Pro (à €9.99 / month)",
        },
        "previous_attributes": {"id": "not this", "object": "nor this"},
    },
    "livemode": False,
    "pending_webhooks": 1,
    "request": {"id": "req_1", "idempotency_key": "c0ffee"},
    "type": "invoice.paid",
}
THIN: dict[str, Any] = {
    "id": "evt_test_65R9Ijk8dKEYZcXeRWn16R9A7j1FSQ3w3TGDPLLGSM4CW0",
    "object": "v2.core.event",
    "type": "v1.billing.meter.error_report_triggered",
    "livemode": True,
    "created": "2026-09-17T06:20:52.246Z",
    "context": "acct_1",
    "related_object": {
        "id": "mtr_test_61RCjiqdTDC91zgip41IqPCzPnxqqSVc",
        "type": "billing.meter",
        "url": "/v1/billing/meters/mtr_test_61RCjiqdTDC91zgip41IqPCzPnxqqSVc",
    },
    "reason": {"type": "request", "request": {"id": "req_2", "idempotency_key": "k"}},
}


def to_body(event: object) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode(errors="surrogatepass")


def snapshot(**changes: object) -> bytes:
    return to_body(SNAPSHOT | changes)


def thin(**changes: object) -> bytes:
    return to_body(THIN | changes)


def about(**changes: object) -> bytes:
    """A snapshot of another object."""
    return snapshot(data={"object": {"id": "in_1", "object": "invoice"} | changes})


def without(event: dict[str, Any], field: str) -> bytes:
    return to_body({key: value for key, value in event.items() if key != field})


def refused(body: bytes) -> str:
    with pytest.raises(PayloadError) as caught:
        parse(body)
    message = str(caught.value)
    assert caught.value.status == 400
    assert len(message) < 300
    assert message.isprintable()
    return message


# -- what is read ---------------------------------------------------------------------------------


def test_snapshot_is_read() -> None:
    assert parse(snapshot()) == Envelope(
        id="evt_1NG8Du2eZvKYlo2CUI79vXWy",
        kind="snapshot",
        type="invoice.paid",
        api_version="2026-10-28.endive",
        created=datetime(2023, 6, 6, 22, 19, 30, tzinfo=UTC),
        livemode=False,
        account=None,
        context=None,
        object_id="in_1NG8Du2eZvKYlo2C",
        object_type="invoice",
        request_id="req_1",
    )


def test_thin_event_is_read() -> None:
    assert parse(thin()) == Envelope(
        id="evt_test_65R9Ijk8dKEYZcXeRWn16R9A7j1FSQ3w3TGDPLLGSM4CW0",
        kind="thin",
        type="v1.billing.meter.error_report_triggered",
        api_version=None,
        created=datetime(2026, 9, 17, 6, 20, 52, 246_000, tzinfo=UTC),
        livemode=True,
        account=None,
        context="acct_1",
        object_id="mtr_test_61RCjiqdTDC91zgip41IqPCzPnxqqSVc",
        object_type="billing.meter",
        request_id="req_2",
    )


def test_envelope_is_frozen() -> None:
    with pytest.raises(AttributeError):
        parse(snapshot()).id = "evt_2"  # type: ignore[misc]  # the very thing that must not work


def test_connect_account_and_context_are_read() -> None:
    envelope = parse(snapshot(account="acct_1A", context="acct_1A/acct_2B"))
    assert (envelope.account, envelope.context) == ("acct_1A", "acct_1A/acct_2B")


def test_fields_may_come_in_any_order_and_unknown_ones_are_ignored() -> None:
    event = {"new_in_2030": [{"object": "event"}, None], **dict(reversed(SNAPSHOT.items()))}
    assert parse(to_body(event)) == parse(snapshot())


def test_white_space_changes_nothing() -> None:
    body = b" \r\n\t" + json.dumps(SNAPSHOT, indent=2).encode() + b"\n"
    assert parse(body) == parse(snapshot())


@pytest.mark.parametrize("request_", [None, {"id": None, "idempotency_key": None}, {}])
def test_event_that_no_request_caused_has_no_request_id(request_: object) -> None:
    assert parse(snapshot(request=request_)).request_id is None


def test_request_of_an_old_api_version_is_a_string() -> None:
    assert parse(snapshot(api_version="2016-07-06", request="req_0")).request_id == "req_0"


@pytest.mark.parametrize("field", ["api_version", "request"])
def test_optional_fields_of_a_snapshot_may_be_missing(field: str) -> None:
    assert parse(without(SNAPSHOT, field)).id == SNAPSHOT["id"]


@pytest.mark.parametrize("field", ["context", "related_object", "reason"])
def test_optional_fields_of_a_thin_event_may_be_missing_or_null(field: str) -> None:
    assert parse(without(THIN, field)) == parse(thin(**{field: None}))


def test_thin_event_without_an_object_has_none() -> None:
    envelope = parse(thin(related_object=None, reason={"type": "request"}))
    assert (envelope.object_id, envelope.object_type, envelope.request_id) == (None, None, None)


def test_data_of_a_thin_event_is_not_looked_at() -> None:
    assert parse(thin(data={"object": "anything"})) == parse(thin())


def test_thin_event_in_another_offset_becomes_utc() -> None:
    envelope = parse(thin(created="2026-09-17T08:20:52+02:00"))
    assert envelope.created == datetime(2026, 9, 17, 6, 20, 52, tzinfo=UTC)
    assert envelope.created.tzinfo is UTC


def test_object_without_an_id_is_accepted() -> None:
    body = snapshot(type="balance.available", data={"object": {"object": "balance"}})
    assert parse(body).object_id is None


@pytest.mark.parametrize(
    "object_id", ["Gold plan, 2019", "größe-L", "プラン\u3000A", "a/b#c?d", "x" * 255]
)
def test_object_may_have_an_id_that_its_owner_chose(object_id: str) -> None:
    assert parse(about(id=object_id)).object_id == object_id


@pytest.mark.parametrize(
    "type_", ["a", "checkout.session.completed", "v2.core.account[requirements].updated"]
)
def test_types_of_both_generations_are_accepted(type_: str) -> None:
    assert parse(snapshot(type=type_)).type == type_


def test_ids_are_opaque_and_need_no_prefix() -> None:
    assert parse(snapshot(id="0-A_z")).id == "0-A_z"


def test_first_and_last_moment_are_read() -> None:
    assert parse(snapshot(created=0)).created == datetime(1970, 1, 1, tzinfo=UTC)
    last = parse(snapshot(created=253_402_300_799)).created
    assert last == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_body_at_the_size_limit_is_read() -> None:
    padding = MAX_BODY_BYTES - len(about(note=""))
    body = about(note="x" * padding)
    assert len(body) == MAX_BODY_BYTES == 2**20
    assert parse(body).object_type == "invoice"


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["id", "object", "type", "created", "livemode", "data"])
def test_missing_field_of_a_snapshot_is_refused(field: str) -> None:
    assert field in refused(without(SNAPSHOT, field))


@pytest.mark.parametrize("field", ["id", "object", "type", "created", "livemode"])
def test_missing_field_of_a_thin_event_is_refused(field: str) -> None:
    assert field in refused(without(THIN, field))


@pytest.mark.parametrize("data", [{}, {"object": {}}, {"object": {"id": "in_1"}}])
def test_snapshot_that_tells_of_no_object_is_refused(data: object) -> None:
    assert "object" in refused(snapshot(data=data))


@pytest.mark.parametrize("field", ["id", "type"])
def test_thin_event_with_half_an_object_is_refused(field: str) -> None:
    half = {key: value for key, value in THIN["related_object"].items() if key != field}
    assert field in refused(thin(related_object=half))


WRONG: dict[str, list[object]] = {
    "id": [None, 1, True, [], {}, ""],
    "object": [None, 1, [], "", "list", "invoice"],
    "type": [None, 1, {}, ""],
    "created": [None, "1686089970", 1.5, -1, 253_402_300_800, True, 2**64, 10**30, [], {}],
    "livemode": [None, 0, "false", []],
    "data": [None, [], "x", 1, {"object": []}, {"object": None}, {"object": "in_1"}],
    "api_version": [1, [], ""],
    "account": [1, {}, ""],
    "context": [1, {}, ""],
    "request": [1, [], {"id": 1}, {"id": ""}, ""],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in WRONG.items() for value in values]
)
def test_field_of_a_wrong_type_or_range_is_refused(field: str, value: object) -> None:
    assert field in refused(snapshot(**{field: value}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("created", 1_686_089_970),
        ("created", "yesterday"),
        ("created", "2026-09-17T06:20:52"),  # no offset: no moment
        ("created", "0001-01-01T00:00:00+01:00"),  # the year 0 in UTC
        ("created", "9999-12-31T23:59:59-01:00"),
        ("created", "0001-01-01T00:00:00Z"),  # minus infinity to asyncpg
        ("created", "1969-12-31T23:59:59Z"),
        ("created", "9999-12-31T23:59:59.999999Z"),  # infinity
        ("related_object", []),
        ("related_object", {"id": 1, "type": "billing.meter"}),
        ("reason", "request"),
        ("reason", {"type": "request", "request": "req_1"}),
        ("context", 7),
    ],
)
def test_field_of_a_thin_event_of_a_wrong_type_is_refused(field: str, value: object) -> None:
    assert field in refused(thin(**{field: value}))


HOSTILE_CHARACTERS = ["\x00", "\n", "\r\n", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u2029"]


@pytest.mark.parametrize("characters", HOSTILE_CHARACTERS)
def test_control_characters_in_ids_are_refused(characters: str) -> None:
    text = f"a{characters}b"
    for body in (
        snapshot(id=text),
        snapshot(type=text),
        snapshot(account=text),
        snapshot(context=text),
        snapshot(api_version=text),
        snapshot(request={"id": text}),
        snapshot(request=text),
        about(id=text),
        about(object=text),
        thin(id=text),
        thin(type=text),
        thin(context=text),
        thin(related_object={"id": text, "type": "billing.meter"}),
        thin(related_object={"id": "mtr_1", "type": text}),
        thin(reason={"request": {"id": text}}),
    ):
        assert "characters" in refused(body)


@pytest.mark.parametrize("ending", ["\n", " ", "\x00"])
def test_id_followed_by_white_space_is_refused(ending: str) -> None:
    assert "id" in refused(snapshot(id="evt_1" + ending))
    assert "type" in refused(snapshot(type="invoice.paid" + ending))


@pytest.mark.parametrize("text", ["évt_1", "evt 1", "evt_1;--", "<script>", "../evt", "evt_1%00"])
def test_event_id_and_type_hold_plain_characters_alone(text: str) -> None:
    assert "id" in refused(snapshot(id=text))
    assert "type" in refused(snapshot(type=text))
    assert "account" in refused(snapshot(account=text))


def test_ids_of_255_characters_are_accepted_and_longer_ones_refused() -> None:
    longest = "a" * MAX_ID_CHARS
    assert parse(snapshot(id=longest, type=longest, account=longest)).id == longest
    assert parse(about(id=longest, object=longest)).object_id == longest
    for body in (
        snapshot(id=longest + "a"),
        snapshot(type=longest + "a"),
        snapshot(account=longest + "a"),
        snapshot(context=longest + "a"),
        snapshot(api_version=longest + "a"),
        snapshot(request={"id": longest + "a"}),
        about(id=longest + "a"),
        about(object=longest + "a"),
        about(id="x" * 1_000_000),
        thin(related_object={"id": longest + "a", "type": "billing.meter"}),
    ):
        assert "length <= 255" in refused(body)


def test_unknown_kind_of_object_is_not_repeated() -> None:
    assert "SECRET" not in refused(snapshot(object="SECRET" * 10_000))


# -- hard case 6 ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        snapshot().replace("€".encode(), b"\xff"),
        snapshot().replace("€".encode(), b"\xe2\x82"),
        snapshot().replace("€".encode(), b"\xed\xa0\x80"),  # a surrogate
        snapshot().replace("€".encode(), b"\xc0\x80"),  # an overlong NUL
        json.dumps(SNAPSHOT).encode("utf-16"),
        snapshot().replace(b"evt_1", b"evt_\xff"),
    ],
)
def test_case_06_body_that_is_not_utf_8_is_refused(body: bytes) -> None:
    assert "UTF-8" in refused(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b"null",
        b"true",
        b"1",
        b'"event"',
        b"[" + snapshot() + b"]",
        b"[[]]",
        b'["id"]',
    ],
)
def test_case_06_json_that_is_no_event_is_refused(body: bytes) -> None:
    assert "not an event" in refused(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"id=evt_1&object=event",
        snapshot()[:-1],
        snapshot() + b"}",
        snapshot() + snapshot(),
        b"\xef\xbb\xbf" + snapshot(),
        b"\x00" + snapshot(),
        snapshot() + b"\x00",
        snapshot().replace("€".encode(), b"\x00"),
        snapshot().replace(b"999", b"NaN"),
        snapshot().replace(b"999", b"01"),
        snapshot().replace(b"999", b"1."),
        snapshot().replace(b"false", b"False"),
        snapshot().replace(b"evt_1", b"\\ud800"),
        snapshot().replace("€".encode(), b"\\ud800"),
    ],
)
def test_case_06_body_that_is_not_json_is_refused(body: bytes) -> None:
    assert "not an event" in refused(body)


@pytest.mark.parametrize("digits", [4_301, 5_000, 5_119, 100_000, 1_000_000])
@pytest.mark.parametrize("sign", [b"", b"-"])
@pytest.mark.parametrize("leading_blanks", [0, 1, 511, 1_023])
def test_case_06_integer_of_five_thousand_digits_is_refused(
    digits: int, sign: bytes, leading_blanks: int
) -> None:
    number = sign + b"7" * digits
    blanks = b" " * leading_blanks  # the number begins anywhere within the stride of the search
    for body in (
        snapshot().replace(b"1686089970", number),
        snapshot().replace(b"999", number),
        snapshot().replace(b'"c0ffee"', number),
        snapshot().replace(b'"evt_1NG8Du2eZvKYlo2CUI79vXWy"', number),
    ):
        assert "not an event" in refused(blanks + body)


def test_case_06_integer_that_python_still_converts_is_ignored_where_nobody_reads_it() -> None:
    body = snapshot().replace(b"999", b"7" * 4_300)
    assert parse(body) == parse(snapshot())
    assert json.loads(body)


def test_digits_within_a_string_are_no_number() -> None:
    assert parse(about(description="7" * 50_000)) == parse(about())


@pytest.mark.parametrize("depth", [2_000, 50_000, 500_000])
@pytest.mark.parametrize(
    ("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")]
)
def test_case_06_deep_nesting_is_refused(depth: int, opening: bytes, closing: bytes) -> None:
    depth = min(depth, MAX_BODY_BYTES // len(opening + closing))
    nested = opening * depth + b"1" + closing * depth
    refused(nested)
    refused(opening * depth)
    assert "too deeply" in refused(snapshot().replace(b"999", nested))
    assert "too deeply" in refused(snapshot().replace(b"999", opening * depth))
    assert "too deeply" in refused(b'{"a":' + nested + b"," + snapshot()[1:])


def test_case_06_deep_nesting_beside_a_long_number_is_refused() -> None:
    nested = b"[" * 400 + b"7" * 5_000 + b"]" * 400
    assert "not an event" in refused(snapshot().replace(b"999", nested))


# -- whatever comes -------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["event", "v2.core.event", "evt_1", "2026-09-17T06:20:52.246Z"]),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children),
    max_leaves=12,
)
FIELDS = st.sampled_from([*SNAPSHOT, *THIN])


@given(st.binary())
@example(b"\xff")
@example(b"{" * 999)
def test_hostile_bytes_raise_nothing_but_a_payload_error(body: bytes) -> None:
    with pytest.raises(PayloadError):
        parse(body)


@given(base=st.sampled_from([SNAPSHOT, THIN]), changes=st.dictionaries(FIELDS, JSON))
def test_event_with_any_fields_is_read_or_a_payload_error(
    base: dict[str, Any], changes: dict[str, Any]
) -> None:
    body = to_body(base | changes)
    try:
        envelope = parse(body)
    except PayloadError as error:
        assert str(error).isprintable()  # noqa: PT017  # only one of the two outcomes has a message
        return
    assert envelope.created.tzinfo is UTC
    for value in msgspec.structs.astuple(envelope):
        if isinstance(value, str):
            assert 0 < len(value) <= MAX_ID_CHARS
            assert not any(character < " " or character == "\x7f" for character in value)


@given(
    base=st.sampled_from([snapshot(), thin()]),
    position=st.floats(0, 1),
    removed=st.integers(0, 12),
    inserted=st.binary(max_size=12),
)
def test_damaged_event_is_read_or_a_payload_error(
    base: bytes, position: float, removed: int, inserted: bytes
) -> None:
    start = int(position * len(base))
    body = base[:start] + inserted + base[start + removed :]
    try:
        envelope = parse(body)
    except PayloadError:
        return
    # What we accept, Python's own reader accepts, and reads the same in it.
    assert json.loads(body.decode())["id"] == envelope.id


@given(JSON)
def test_what_an_object_holds_besides_changes_nothing(value: object) -> None:
    assert parse(about(metadata=value)) == parse(about())


@given(
    id_=st.from_regex(r"evt_[A-Za-z0-9]{1,60}", fullmatch=True),
    type_=st.from_regex(r"[a-z_]{1,20}(\.[a-z_]{1,20}){1,3}", fullmatch=True),
    created=st.integers(0, 253_402_300_799),
    livemode=st.booleans(),
    metadata=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.text()),
)
def test_snapshot_reads_as_stripes_library_reads_it(
    id_: str, type_: str, created: int, livemode: bool, metadata: dict[str, str]
) -> None:
    data = {"object": {"id": "cus_1", "object": "customer", "metadata": metadata}}
    body = json.dumps(
        SNAPSHOT
        | {"id": id_, "type": type_, "created": created, "livemode": livemode, "data": data}
    ).encode()
    theirs = stripe.Event.construct_from(json.loads(body), "sk_test_x")
    ours = parse(body)
    assert (ours.id, ours.type, ours.livemode) == (theirs.id, theirs.type, theirs.livemode)
    assert int(ours.created.timestamp()) == theirs.created
    assert (ours.object_id, ours.object_type) == ("cus_1", "customer")


def test_the_twin_of_a_thin_event_is_read_and_checked() -> None:
    assert parse(thin(snapshot_event="evt_1")).snapshot_id == "evt_1"
    assert "snapshot_event" in refused(thin(snapshot_event="evt 1"))
