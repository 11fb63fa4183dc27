"""Errors as problem+json (RFC 9457)."""

import msgspec
import pytest

from gatekeeper import errors
from gatekeeper.asgi import PROBLEM_MEDIA_TYPE, problem_body, problem_headers, problem_response


def test_a_denial_says_what_is_missing_and_where_to_get_it() -> None:
    error = errors.CreditsRequiredError("4 are needed.", unit="credits", required=4, available=1)
    status, headers, body = problem_response(error, upgrade_url="/pricing")
    assert status == 402
    assert dict(headers)[b"content-type"] == PROBLEM_MEDIA_TYPE.encode()
    assert dict(headers)[b"content-length"] == str(len(body)).encode()
    assert dict(headers)[b"cache-control"] == b"no-store"
    assert msgspec.json.decode(body) == {
        "type": "urn:gatekeeper:problem:credits-required",
        "title": "This needs more credits than the customer has.",
        "status": 402,
        "detail": "4 are needed.",
        "code": "credits_required",
        "unit": "credits",
        "required": 4,
        "available": 1,
        "upgrade_url": "/pricing",
    }


def test_only_a_denial_names_the_upgrade() -> None:
    assert "upgrade_url" not in problem_body(errors.ConflictError(), upgrade_url="/pricing")
    assert "upgrade_url" not in problem_body(errors.PlanRequiredError(), upgrade_url=None)


def test_a_fault_of_ours_shows_nothing_of_itself() -> None:
    body = problem_body(errors.ConfigurationError("the password is 123", secret="123"))
    assert body["detail"] == body["title"]
    assert "123" not in str(body)


def test_details_never_take_the_place_of_what_rfc_9457_says() -> None:
    body = problem_body(errors.ConflictError("no", status="captured", title="x", none=None))
    assert (body["status"], body["title"]) == (409, errors.ConflictError().title)
    assert "none" not in body


@pytest.mark.parametrize("error", [errors.StoreUnavailableError(), errors.RateLimitedError()])
def test_what_can_be_tried_again_says_when(error: errors.GatekeeperError) -> None:
    assert problem_headers(error)["retry-after"] == "1"


def test_a_401_says_how_to_sign_in() -> None:
    assert "www-authenticate" in problem_headers(errors.UnauthenticatedError())


def test_of_a_declined_payment_no_framework_tells_more_than_the_person_may_know() -> None:
    stolen = errors.CardDeclinedError(
        "Stripe refused confirming: Your card was declined.",
        decline_code="stolen_card",
        stripe_code="card_declined",
        request_id="req_1",
        payment_intent="pi_1",
    )
    assert problem_body(stolen, upgrade_url="/pricing") == {
        "type": "urn:gatekeeper:problem:card-declined",
        "title": "The payment was declined.",
        "status": 402,
        "detail": "The payment was declined.",
        "code": "card_declined",
        "decline_code": "generic_decline",
        "payment_intent": "pi_1",
    }
