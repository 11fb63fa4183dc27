"""The signature check: what Stripe signs passes, whatever else is a SignatureError."""

import hmac
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
import stripe
import time_machine
from hypothesis import example, given
from hypothesis import strategies as st

from gatekeeper.errors import ConfigurationError, SignatureError
from gatekeeper.stripe.signature import (
    MAX_HEADER_BYTES,
    MAX_SIGNATURES,
    sign,
    verify,
)

SECRET = "whsec_the_one_in_force"
OLD_SECRET = "whsec_the_one_before"
BODY = b'{"id": "evt_1", "object": "event"}'
NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
UNIX_NOW = int(NOW.timestamp())
GOOD = sign(BODY, SECRET, NOW)
HEX = GOOD.partition("v1=")[2]


def refused(header: str | bytes | None, body: bytes = BODY, tolerance_seconds: int = 300) -> str:
    with pytest.raises(SignatureError) as caught:
        verify(body, header, [SECRET], NOW, tolerance_seconds)
    message = str(caught.value)
    assert caught.value.status == 400
    assert SECRET not in message
    assert HEX not in message
    assert len(message) < 250
    return message


def test_signed_body_returns_the_signed_moment_in_utc() -> None:
    signed_at = NOW - timedelta(seconds=17)
    assert verify(BODY, sign(BODY, SECRET, signed_at), [SECRET], NOW) == signed_at
    assert verify(BODY, GOOD, [SECRET], NOW).tzinfo is UTC


def test_header_may_be_bytes_as_asgi_has_it() -> None:
    assert verify(BODY, GOOD.encode(), [SECRET], NOW) == NOW


def test_now_may_be_in_any_time_zone() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=9)))
    assert verify(BODY, GOOD, [SECRET], there) == NOW


def test_sign_writes_the_documented_form() -> None:
    expected = hmac.new(SECRET.encode(), f"{UNIX_NOW}.".encode() + BODY, "sha256").hexdigest()
    assert sign(BODY, SECRET, NOW + timedelta(milliseconds=999)) == f"t={UNIX_NOW},v1={expected}"


def test_one_changed_byte_is_refused() -> None:
    assert "No signature fits" in refused(GOOD, BODY + b"\n")
    assert "No signature fits" in refused(GOOD, BODY.replace(b"1", b"2"))


def test_changed_timestamp_is_refused() -> None:
    assert "No signature fits" in refused(GOOD.replace(f"t={UNIX_NOW}", f"t={UNIX_NOW - 1}"))


def test_case_05_old_and_new_secret_are_accepted_and_a_third_is_refused() -> None:
    both = [SECRET, OLD_SECRET]
    assert verify(BODY, sign(BODY, SECRET, NOW), both, NOW) == NOW
    assert verify(BODY, sign(BODY, OLD_SECRET, NOW), both, NOW) == NOW
    with pytest.raises(SignatureError, match="No signature fits"):
        verify(BODY, sign(BODY, "whsec_of_somebody_else", NOW), both, NOW)


def test_case_05_header_with_a_signature_for_each_secret_is_accepted_by_either() -> None:
    new = sign(BODY, "whsec_new", NOW).partition("v1=")[2]
    header = f"t={UNIX_NOW},v1={new},v1={HEX}"  # Stripe signs with both until the old one expires
    assert verify(BODY, header, [SECRET], NOW) == NOW
    assert verify(BODY, header, ["whsec_new"], NOW) == NOW


def test_case_06_signature_that_is_not_ascii_is_refused() -> None:
    assert "not ASCII" in refused(GOOD + "é")
    assert "not ASCII" in refused(f"t={UNIX_NOW},v1=\udc80")
    assert "not ASCII" in refused(GOOD.encode() + b"\xff")
    assert "not ASCII" in refused(f"t={UNIX_NOW},v1={HEX[:-1]}\u0660")
    assert "not ASCII" in refused(GOOD.replace("t=1", "t=\u0661"))  # a digit to int()


def test_case_06_hundred_thousand_signatures_are_refused_unparsed() -> None:
    assert f"over {MAX_HEADER_BYTES} bytes" in refused(f"t={UNIX_NOW}" + ",v1=" * 100_000)


def test_case_06_repeated_timestamp_is_refused() -> None:
    assert "more than one timestamp" in refused(f"{GOOD},t={UNIX_NOW}")
    assert "more than one timestamp" in refused(f"t={UNIX_NOW - 9_999},{GOOD}")


@pytest.mark.parametrize(
    "timestamp",
    [
        "9" * 3_900,
        "9" * 12,
        "",
        "0",
        "-1",
        f"+{UNIX_NOW}",
        f"0{UNIX_NOW}",
        f" {UNIX_NOW}",
        f"{UNIX_NOW}\n",
        "1_764_000_000",
        "1e9",
        "1764000000.0",
        "0x6925",
        "now",
        "nan",
        f"{UNIX_NOW}={UNIX_NOW}",
    ],
)
def test_case_06_absurd_timestamp_is_refused(timestamp: str) -> None:
    signed = f"{timestamp}.".encode() + BODY
    signature = hmac.digest(SECRET.encode(), signed, "sha256").hex()
    assert "malformed" in refused(f"t={timestamp},v1={signature}")


def test_case_06_timestamp_of_five_thousand_digits_is_refused() -> None:
    assert f"over {MAX_HEADER_BYTES} bytes" in refused(f"t={'1' * 5_000},v1={HEX}")


@pytest.mark.parametrize("header", [None, "", b""])
def test_no_header_is_refused(header: str | bytes | None) -> None:
    assert "has no Stripe-Signature header" in refused(header)


@pytest.mark.parametrize(
    "header", [",", "=", "garbage", HEX, f"v1={HEX}", f"T={UNIX_NOW},v1={HEX}"]
)
def test_header_without_a_timestamp_is_refused(header: str) -> None:
    assert "no timestamp" in refused(header)


@pytest.mark.parametrize("scheme", ["v0", "v2", "V1", " v1", "v1 ", "v10", ""])
def test_only_the_scheme_v1_counts(scheme: str) -> None:
    assert "no v1 signature" in refused(f"t={UNIX_NOW},{scheme}={HEX}")
    with_other = GOOD.replace("v1=", f"{scheme}=0000,v1=")
    assert verify(BODY, with_other, [SECRET], NOW) == NOW


@pytest.mark.parametrize("signature", ["", HEX[:-1], HEX + "0", HEX.upper(), f" {HEX}", f"{HEX}="])
def test_signature_must_be_exactly_the_expected_hex(signature: str) -> None:
    assert "No signature fits" in refused(f"t={UNIX_NOW},v1={signature}")


def test_sixteen_signatures_are_considered_and_a_seventeenth_is_refused() -> None:
    others = f",v1={'0' * 64}" * (MAX_SIGNATURES - 1)
    assert verify(BODY, f"t={UNIX_NOW}{others},v1={HEX}", [SECRET], NOW) == NOW
    assert "more than 16" in refused(f"t={UNIX_NOW},v1={HEX}{others},v1={'0' * 64}")


def test_header_of_the_largest_size_is_read_and_one_byte_more_is_refused() -> None:
    padding = "x" * (MAX_HEADER_BYTES - len(GOOD) - 1)
    assert verify(BODY, f"{GOOD},{padding}", [SECRET], NOW) == NOW
    assert "over 4096 bytes" in refused(f"{GOOD},{padding}x")


@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_timestamp_within_the_tolerance_is_accepted(seconds: int) -> None:
    signed_at = NOW + timedelta(seconds=seconds)
    assert verify(BODY, sign(BODY, SECRET, signed_at), [SECRET], NOW) == signed_at


@pytest.mark.parametrize("seconds", [-301, -86_400, -1_700_000_000])
def test_case_07_timestamp_in_the_past_is_refused(seconds: int) -> None:
    header = sign(BODY, SECRET, NOW + timedelta(seconds=seconds))
    assert "more than 300 seconds old" in refused(header)


@pytest.mark.parametrize("seconds", [301, 86_400, 10 * 366 * 86_400])
def test_case_07_timestamp_in_the_future_is_refused(seconds: int) -> None:
    header = sign(BODY, SECRET, NOW + timedelta(seconds=seconds))
    assert "in the future" in refused(header)


def test_case_07_largest_timestamp_that_is_read_at_all_is_refused() -> None:
    assert "in the future" in refused(f"t={'9' * 11},v1={HEX}")


@pytest.mark.parametrize("tolerance_seconds", [0, -1, -300])
def test_case_07_tolerance_of_zero_or_less_is_a_configuration_error(tolerance_seconds: int) -> None:
    with pytest.raises(ConfigurationError, match="at least one second"):
        verify(BODY, GOOD, [SECRET], NOW, tolerance_seconds)


def test_case_07_configured_tolerance_is_used() -> None:
    header = sign(BODY, SECRET, NOW - timedelta(seconds=11))
    assert "more than 10 seconds old" in refused(header, tolerance_seconds=10)
    assert verify(BODY, header, [SECRET], NOW, 11) == NOW - timedelta(seconds=11)


def test_fraction_of_a_second_beyond_the_tolerance_is_refused() -> None:
    with pytest.raises(SignatureError, match="seconds old"):
        verify(BODY, GOOD, [SECRET], NOW + timedelta(seconds=300, microseconds=1))


@pytest.mark.parametrize("secrets", [[], [""], [SECRET, ""], ["   "], [SECRET, "\t\n"]])
def test_missing_or_empty_secret_is_a_configuration_error(secrets: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="missing or empty"):
        verify(BODY, sign(BODY, "", NOW), secrets, NOW)


def test_string_in_place_of_the_sequence_of_secrets_is_a_configuration_error() -> None:
    # Iterated, it would be a set of one-character secrets that anybody can guess.
    with pytest.raises(ConfigurationError, match="not a string"):
        verify(BODY, sign(BODY, "w", NOW), SECRET, NOW)


def test_naive_now_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="aware"):
        verify(BODY, GOOD, [SECRET], NOW.replace(tzinfo=None))


def test_message_repeats_nothing_that_came_from_outside() -> None:
    marker = "INJECTED\r\nX-Header: 1"
    for header in (marker, f"t={marker},v1={HEX}", f"t={UNIX_NOW},v1={marker}", GOOD + marker):
        assert "INJECTED" not in refused(header)


# -- whatever comes -------------------------------------------------------------------------------

HEADER_PARTS = st.one_of(
    st.sampled_from(["t", "v1", "v0", "=", ",", f"t={UNIX_NOW}", f"v1={HEX}", "\x00", "\r\n", "é"]),
    st.text(max_size=20),
    st.integers().map(lambda number: f"t={number}"),
)
HEADERS = st.one_of(
    st.none(),
    st.text(),
    st.binary(),
    st.lists(HEADER_PARTS, max_size=40).map(",".join),
    st.lists(HEADER_PARTS, max_size=40).map("".join),
)


@given(body=st.binary(), header=HEADERS)
@example(body=BODY, header=f"t={UNIX_NOW},v1=" + "\ud800")
@example(body=b"\xff", header=f"t={UNIX_NOW}," + "v1=," * 900)
def test_hostile_bytes_raise_nothing_but_a_signature_error(
    body: bytes, header: str | bytes | None
) -> None:
    with pytest.raises(SignatureError):
        verify(body, header, ["whsec_never_used_to_sign"], NOW)


@given(
    body=st.binary(), secret=st.text(min_size=1).filter(str.strip), offset=st.integers(-300, 300)
)
def test_what_sign_signs_verify_accepts(body: bytes, secret: str, offset: int) -> None:
    signed_at = NOW + timedelta(seconds=offset)
    assert verify(body, sign(body, secret, signed_at), [secret], NOW) == signed_at


# -- beside Stripe's own library ------------------------------------------------------------------

OTHER_PARTS = st.lists(
    st.one_of(
        st.from_regex(r"v[02-9]=[0-9a-f]{64}", fullmatch=True),
        st.just(f"v1={'0' * 64}"),
    ),
    max_size=MAX_SIGNATURES - 1,
)


@given(
    value=st.text(st.characters(exclude_categories=["Cs"])),
    age_seconds=st.integers(-200, 300),
    others=OTHER_PARTS,
    position=st.integers(0, 16),
)
def test_what_stripes_library_accepts_within_the_tolerance_we_accept(
    value: str, age_seconds: int, others: list[str], position: int
) -> None:
    body = json.dumps({"id": "evt_1", "object": "event", "note": value}).encode()
    signed_at = UNIX_NOW - age_seconds
    theirs = stripe.WebhookSignature.generate_signature_header(body.decode(), SECRET, signed_at)
    parts = others.copy()
    parts[position:position] = theirs.split(",")
    header = ",".join(parts)
    with time_machine.travel(NOW, tick=False):
        event = stripe.Webhook.construct_event(body, header, SECRET, api_key="sk_test_x")
    assert event.id == "evt_1"
    assert int(verify(body, header, [SECRET], NOW).timestamp()) == signed_at


def test_what_we_sign_stripes_library_accepts() -> None:
    with time_machine.travel(NOW, tick=False):
        assert stripe.Webhook.construct_event(BODY, GOOD, SECRET, api_key="sk_test_x").id == "evt_1"


@pytest.mark.parametrize("secret", [OLD_SECRET, SECRET + " ", SECRET.upper()])
def test_what_stripes_library_refuses_for_its_secret_we_refuse(secret: str) -> None:
    with (
        time_machine.travel(NOW, tick=False),
        pytest.raises(stripe.SignatureVerificationError),
    ):
        stripe.Webhook.construct_event(BODY, GOOD, secret, api_key="sk_test_x")
    with pytest.raises(SignatureError):
        verify(BODY, GOOD, [secret], NOW)
