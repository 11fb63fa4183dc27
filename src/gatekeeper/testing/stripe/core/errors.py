"""Stripe's error answers.

Source: Stripe's API reference, "Errors" (types, codes and HTTP status codes).
"""

from typing import Any, Literal

ErrorType = Literal["api_error", "card_error", "idempotency_error", "invalid_request_error"]


class ApiError(Exception):
    """A refusal, shaped as Stripe shapes it: HTTP status, type, code, parameter, message.

    `saved` says whether an Idempotency-Key remembers it: Stripe remembers what happened once a
    request began to run (a declined card), and forgets requests that it refused to start.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: ErrorType = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        decline_code: str | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type: ErrorType = type
        self.code = code
        self.param = param
        self.decline_code = decline_code
        self.extra = extra or {}
        self.saved = type == "card_error"

    def body(self) -> dict[str, Any]:
        """The JSON answer: absent facts are absent, as at Stripe."""
        error: dict[str, Any] = {"type": self.type, "message": self.message}
        for name in ("code", "param", "decline_code"):
            value = getattr(self, name)
            if value is not None:
                error[name] = value
        if self.code is not None:
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{self.code.replace('_', '-')}"
        return {"error": {**error, **self.extra}}


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """A 400 `invalid_request_error`."""
    return ApiError(400, message, code=code, param=param)


def missing(kind: str, identifier: str, param: str | None = None) -> ApiError:
    """`resource_missing`: 404 for the object of the URL, 400 for one that a parameter names."""
    label = kind.replace("_", " ")
    return ApiError(
        404 if param in (None, "id") else 400,
        f"No such {label}: '{identifier}'",
        code="resource_missing",
        param=param or "id",
    )


def unknown_parameter(path: str) -> ApiError:
    """`parameter_unknown`: the simulator knows only the parameters that this project uses."""
    return invalid(f"Received unknown parameter: {path}", path, "parameter_unknown")


def missing_parameter(path: str) -> ApiError:
    """`parameter_missing`."""
    return invalid(f"Missing required param: {path}.", path, "parameter_missing")


def no_access(account: str) -> ApiError:
    """`account_invalid`: a 403 for an account that is not there, or has left the platform."""
    return ApiError(
        403,
        f"The provided key does not have access to account '{account}' (or that account does not"
        " exist). Application access may have been revoked.",
        code="account_invalid",
    )
