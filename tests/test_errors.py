import inspect
import re
from collections import Counter

import pytest

from gatekeeper import errors
from gatekeeper.errors import (
    CatalogError,
    ConfigurationError,
    CreditsRequiredError,
    GatekeeperError,
    MissingExtraError,
    SettingsError,
    UnavailableError,
    UnknownNameError,
)

EVERY_ERROR = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, GatekeeperError)
]


def ids(error: type[GatekeeperError]) -> str:
    return error.__name__


def test_every_code_is_used_once() -> None:
    assert len(EVERY_ERROR) > 30
    codes = Counter(error.code for error in EVERY_ERROR)
    assert [code for code, count in codes.items() if count > 1] == []


@pytest.mark.parametrize("error", EVERY_ERROR, ids=ids)
def test_every_error_says_what_it_is(error: type[GatekeeperError]) -> None:
    title = error.title.fget(error.__new__(error))  # type: ignore[attr-defined]  # mypy: a property
    assert title.endswith((".", ";")) or "; " in title
    assert title != GatekeeperError("x").title or error is GatekeeperError
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)
    assert error.__name__.endswith("Error")


@pytest.mark.parametrize("error", EVERY_ERROR, ids=ids)
def test_the_status_follows_from_the_branch(error: type[GatekeeperError]) -> None:
    assert error.status in {400, 401, 402, 403, 404, 405, 408, 409, 413, 429, 500, 502, 503}
    if error.status in {429, 503}:
        assert error.retry_after_seconds is not None
    else:
        assert error.retry_after_seconds is None
    if issubclass(error, ConfigurationError):
        assert error.status == 500


def test_without_a_detail_the_title_stands_in() -> None:
    error = UnavailableError()
    assert error.detail == error.title == str(error) == "This can't be done right now; try again."
    assert error.problem_type == "urn:gatekeeper:problem:unavailable"
    assert error.params == {}


def test_details_are_kept_for_programs() -> None:
    error = CreditsRequiredError("4 credits are needed.", unit="credits", needed=4)
    assert str(error) == "4 credits are needed."
    assert error.params == {"unit": "credits", "needed": 4}
    assert error.problem_type == "urn:gatekeeper:problem:credits-required"


@pytest.mark.parametrize(
    ("error", "subject"),
    [(CatalogError, "The catalogue"), (SettingsError, "The configuration of Gatekeeper")],
)
def test_several_faults_are_listed_in_one_error(
    error: type[CatalogError] | type[SettingsError], subject: str
) -> None:
    raised = error(fault for fault in ("a: is wrong", "b: is wrong too"))
    assert raised.faults == ("a: is wrong", "b: is wrong too")
    assert str(raised) == f"{subject} has 2 fault(s):\n  - a: is wrong\n  - b: is wrong too"


def test_a_missing_extra_is_named_with_its_command() -> None:
    error = MissingExtraError("fastapi", extra="fastapi")
    assert "pip install 'gatekeeper-entitlements[fastapi]'" in str(error)
    assert error.params == {"package": "fastapi", "extra": "fastapi"}


def test_an_unknown_name_is_shortened_and_the_known_ones_are_sorted() -> None:
    error = UnknownNameError("plan", "x" * 81, ["pro", "free"])
    assert error.params == {"kind": "plan", "name": "x" * 77 + "..."}
    assert str(error).endswith("It has: free, pro.")
    assert UnknownNameError("plan", "x" * 80).params["name"] == "x" * 80
    assert str(UnknownNameError("plan", "x")).endswith("It has: none.")


def test_an_unknown_name_from_outside_can_not_break_a_log_line() -> None:
    assert len(str(UnknownNameError("plan", "a\r\nb\x00\u2028c", ["pro"])).splitlines()) == 1
