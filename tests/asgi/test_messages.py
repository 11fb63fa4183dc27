"""Problems in the person's language, and declined payments."""

import re
from collections.abc import Iterator

import msgspec
import pytest

from gatekeeper.asgi import problem_answer
from gatekeeper.asgi.declines import _REASONS
from gatekeeper.asgi.messages import LANGUAGES
from gatekeeper.asgi.messages.negotiation import negotiated
from gatekeeper.errors import (
    AuthenticationRequiredError,
    CardDeclinedError,
    ConfigurationError,
    CreditsRequiredError,
    GatekeeperError,
    PlanRequiredError,
    StripeRequestError,
    StripeUnavailableError,
)


def every(kind: type[GatekeeperError]) -> Iterator[type[GatekeeperError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from every(below)


def public_codes() -> set[str]:
    """The codes that an answer may have beside its fault of ours."""
    ours = [one for one in every(GatekeeperError) if one.__module__.startswith("gatekeeper.")]
    return {one.code for one in ours if one.status < 500 or one.status == 503}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_public_code_has_a_text_in_every_language(language: str) -> None:
    declines = {f"card_declined.{word}" for word in _REASONS}
    assert set(LANGUAGES[language]) == public_codes() | declines | {"internal_error"}
    for code, text in LANGUAGES[language].items():
        assert re.fullmatch(r"[^\W\d_].{8,}[.]", text), code
        if language != "en":
            assert text != LANGUAGES["en"][code], code


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("fr", "fr"),
        ("FR-be", "fr"),
        ("nl-BE,nl;q=0.9,en;q=0.8", "nl"),
        ("de, fr;q=0.5, en;q=0.4", "fr"),
        ("fr;q=0.4, nl;q=0.5", "nl"),
        ("fr;q=0.5, nl;q=0.5", "fr"),  # the first of equals
        ("de", "en"),
        ("*", "en"),
        ("en;q=0, *", "fr"),  # any but English
        ("en;q=0.1, *;q=0.5", "fr"),
        ("fr;q=0", "en"),
        ("fr;q=0, fr-CA;q=0.3", "fr"),
        ("nl ; Q=1.000", "nl"),
        ("fr;q=2, nl", "nl"),  # what is no quality is passed over, with its language
        ("fr;q=-1", "en"),
        ("\x00, fr\u00e9, ;;q=, nl;q=0.1", "nl"),
        ("," * 10_000 + "fr", "en"),
        ("x-klingon, i-default", "en"),
    ],
)
def test_the_language_is_the_one_that_is_wished_for_most(
    accepted: str | None, language: str
) -> None:
    assert negotiated(accepted, LANGUAGES, "en") == language


def problem(error: GatekeeperError, accepted: str = "en") -> dict[str, object]:
    headers = [(b"accept-language", accepted.encode())]
    answer = problem_answer(error, scope={"type": "http", "headers": headers})
    assert answer.status_code == error.status
    assert answer.headers["vary"] == "accept-language"
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, object] = msgspec.json.decode(answer.body)
    return {**body, "in": answer.headers["content-language"]}


def declined(decline_code: str | None = None, **more: object) -> CardDeclinedError:
    known = {"stripe_code": "card_declined", "stripe_status": 402, "request_id": "req_1", **more}
    return CardDeclinedError("Stripe refused paying: No.", decline_code=decline_code, **known)


def test_in_english_an_error_says_what_it_knows() -> None:
    shown = problem(CreditsRequiredError("4 are needed.", required=4))
    assert (shown["detail"], shown["required"], shown["in"]) == ("4 are needed.", 4, "en")
    assert problem(PlanRequiredError())["detail"] == LANGUAGES["en"]["plan_required"]
    unavailable = problem(StripeUnavailableError("Stripe answered 500 (fetching an invoice)."))
    assert unavailable["detail"] == LANGUAGES["en"]["stripe_unavailable"]


@pytest.mark.parametrize("language", ["fr", "nl"])
def test_in_another_language_words_are_ours_and_the_codes_stay(language: str) -> None:
    shown = problem(CreditsRequiredError("4 are needed.", required=4), language)
    text = LANGUAGES[language]["credits_required"]
    assert (shown["title"], shown["detail"], shown["in"]) == (text, text, language)
    assert (shown["code"], shown["required"]) == ("credits_required", 4)


def test_an_error_of_the_hosts_own_speaks_for_itself() -> None:
    class OutOfStockError(GatekeeperError):
        """There is none left."""

        code = "out_of_stock"
        status = 409

    shown = problem(OutOfStockError(), "fr")
    assert (shown["detail"], shown["in"]) == ("There is none left.", "en")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("error", [ConfigurationError("at 10.1.2.3"), StripeRequestError("10.1.")])
def test_a_fault_of_ours_says_only_that_it_is_one(error: GatekeeperError, language: str) -> None:
    shown = problem(error, language)
    assert "10.1." not in str(shown)
    assert (shown["code"], shown["in"]) == (error.code, language)
    if language != "en":
        assert shown["detail"] == LANGUAGES[language]["internal_error"]


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (declined("insufficient_funds"), "insufficient_funds", "insufficient_funds"),
        (declined("expired_card"), "expired_card", "expired_card"),
        (declined(stripe_code="expired_card"), "expired_card", "expired_card"),
        (declined(stripe_code="incorrect_cvc"), "incorrect_cvc", "incorrect_cvc"),
        (declined("invalid_cvc"), "invalid_cvc", "incorrect_cvc"),
        (declined("card_velocity_exceeded"), "card_velocity_exceeded", "limit_exceeded"),
        (declined("try_again_later"), "try_again_later", "try_again"),
        (declined("generic_decline"), "generic_decline", None),
        (declined("do_not_honor"), "generic_decline", None),
        (declined("a_code_of_tomorrow"), "generic_decline", None),
        (declined(), "generic_decline", None),
        # Whoever holds such a card is not told why: https://docs.stripe.com/declines/codes
        (declined("fraudulent"), "generic_decline", None),
        (declined("lost_card"), "generic_decline", None),
        (declined("stolen_card"), "generic_decline", None),
        (declined("pickup_card"), "generic_decline", None),
        (declined("merchant_blacklist"), "generic_decline", None),
    ],
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_declined_payment_says_what_the_person_may_know(
    error: CardDeclinedError, code: str, text: str | None, language: str
) -> None:
    shown = problem(error, language)
    key = "card_declined" if text is None else f"card_declined.{text}"
    assert (shown["code"], shown["decline_code"]) == ("card_declined", code)
    assert shown["detail"] == LANGUAGES[language][key]
    assert not {"stripe_code", "stripe_status", "request_id"} & set(shown)


def test_a_payment_to_be_confirmed_says_how() -> None:
    error = AuthenticationRequiredError(
        "no", payment_intent="pi_1", client_secret="pi_1_secret_2", stripe_code="x"
    )
    shown = problem(error, "nl")
    assert (shown["status"], shown["code"]) == (402, "authentication_required")
    assert (shown["next"], shown["payment_intent"]) == ("confirm", "pi_1")
    assert shown["client_secret"] == "pi_1_secret_2"
    assert shown["detail"] == LANGUAGES["nl"]["authentication_required"]
    assert "secret" not in str(error)
