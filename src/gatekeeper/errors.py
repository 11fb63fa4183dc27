"""Every error that Gatekeeper raises, as one tree.

Each class carries what a program needs (`code`, stable for ever), what HTTP needs (`status`) and
what RFC 9457 needs (`problem_type`, `title`). Its docstring is its title; the message of an
instance says what happened and what to do. `params` are the machine-readable details, safe to show
to the person who asked.
"""

from collections.abc import Iterable
from typing import ClassVar

PROBLEM_TYPE_PREFIX = "urn:gatekeeper:problem:"
"""Problem types are names, not addresses: RFC 9457 section 3.1.1 allows what can't be fetched."""


class GatekeeperError(Exception):
    """Something went wrong inside Gatekeeper."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retry_after_seconds: int | None = None

    def __init__(self, detail: str | None = None, **params: object) -> None:
        self.detail = detail or self.title
        self.params = params
        super().__init__(self.detail)

    @property
    def title(self) -> str:
        """The first line of the class's docstring: the same for every instance."""
        return (type(self).__doc__ or "").strip().splitlines()[0]

    @property
    def problem_type(self) -> str:
        """The `type` member of problem+json (RFC 9457): stable, made from `code`."""
        return PROBLEM_TYPE_PREFIX + self.code.replace("_", "-")


# -- what the developer has to mend ---------------------------------------------------------------


class ConfigurationError(GatekeeperError):
    """Gatekeeper is not set up correctly."""

    code = "configuration_error"


class FaultsError(ConfigurationError):
    """Several things are wrong at once; the message lists them all."""

    code = "faults"

    def __init__(self, faults: Iterable[str], *, subject: str) -> None:
        self.faults = tuple(faults)
        lines = "".join(f"\n  - {fault}" for fault in self.faults)
        super().__init__(f"{subject} has {len(self.faults)} fault(s):{lines}")


class CatalogError(FaultsError):
    """The catalogue is not valid."""

    code = "catalog_invalid"

    def __init__(self, faults: Iterable[str]) -> None:
        super().__init__(faults, subject="The catalogue")


class SettingsError(FaultsError):
    """The settings are not valid."""

    code = "settings_invalid"

    def __init__(self, faults: Iterable[str]) -> None:
        super().__init__(faults, subject="The configuration of Gatekeeper")


class GuardPlacementError(ConfigurationError):
    """A guard stands where it never runs."""

    code = "guard_misplaced"


class RegistrationError(ConfigurationError):
    """A handler can't be registered like this."""

    code = "registration_invalid"


class MissingExtraError(ConfigurationError, ImportError):
    """An optional dependency is not installed."""

    code = "extra_missing"

    def __init__(self, package: str, *, extra: str) -> None:
        super().__init__(
            f"{package} is needed here and is not installed: "
            f"pip install 'gatekeeper-entitlements[{extra}]'",
            package=package,
            extra=extra,
        )


class DatabaseStampError(ConfigurationError):
    """This database belongs to another Stripe account or mode."""

    code = "database_stamp_mismatch"


class SchemaVersionError(ConfigurationError):
    """The database schema is not the one this release needs."""

    code = "schema_version_mismatch"


class NoGateError(ConfigurationError):
    """No gate is running here."""

    code = "no_gate"


class HostTransactionError(ConfigurationError):
    """This call can't share the host's transaction like this."""

    code = "host_transaction_invalid"


# -- what the caller got wrong --------------------------------------------------------------------


class InvalidInputError(GatekeeperError):
    """The request is not valid."""

    code = "invalid_request"
    status = 400


class InvalidIdError(InvalidInputError):
    """An id is empty, too long or holds characters that ids must not hold."""

    code = "invalid_id"


class InvalidAmountError(InvalidInputError):
    """An amount is not a whole number in the accepted range."""

    code = "invalid_amount"


class AmountNotChargeableError(InvalidAmountError):
    """This amount can't be paid in one payment."""

    code = "amount_not_chargeable"


class UnknownNameError(InvalidInputError):
    """The catalogue does not know this name."""

    code = "unknown_name"

    def __init__(self, kind: str, name: str, known: Iterable[str] = ()) -> None:
        listed = ", ".join(sorted(known)) or "none"
        shown = name if len(name) <= 80 else name[:77] + "..."  # the name may come from outside
        super().__init__(
            f"The catalogue has no {kind} named {shown!r}. It has: {listed}.", kind=kind, name=shown
        )


class ReturnUrlError(InvalidInputError):
    """This is no place to be sent back to."""

    code = "return_url_refused"


class DiscountError(InvalidInputError):
    """This code can't be used."""

    code = "discount_invalid"


class BodyTimeoutError(InvalidInputError):
    """The body of the request did not come in time."""

    code = "body_timeout"
    status = 408


class UnauthenticatedError(GatekeeperError):
    """Nobody is signed in."""

    code = "unauthenticated"
    status = 401


class ForbiddenError(GatekeeperError):
    """This is not for you."""

    code = "forbidden"
    status = 403


class OriginRefusedError(ForbiddenError):
    """A page of another site may not do this."""

    code = "origin_refused"


class MethodNotAllowedError(GatekeeperError):
    """This address does not take this method."""

    code = "method_not_allowed"
    status = 405


class NotFoundError(GatekeeperError):
    """There is no such thing."""

    code = "not_found"
    status = 404


class CustomerNotFoundError(NotFoundError):
    """This customer is not known."""

    code = "customer_not_found"


class HoldNotFoundError(NotFoundError):
    """This hold is not known."""

    code = "hold_not_found"


# -- denials: the person can do something about it, usually pay -----------------------------------


class DeniedError(GatekeeperError):
    """This needs something that the customer does not have."""

    code = "denied"
    status = 402


class PlanRequiredError(DeniedError):
    """This needs another plan."""

    code = "plan_required"


class FeatureRequiredError(DeniedError):
    """This needs a feature that the customer's plan does not have."""

    code = "feature_required"


class CreditsRequiredError(DeniedError):
    """This needs more credits than the customer has."""

    code = "credits_required"


class DebtOutstandingError(DeniedError):
    """Credits that were refunded after use have to be repaid first."""

    code = "debt_outstanding"


class CreditsFrozenError(DeniedError):
    """These credits can't be used for now. Please get in touch with us."""

    code = "credits_frozen"


# -- conflicts ------------------------------------------------------------------------------------


class ConflictError(GatekeeperError):
    """This contradicts what has already happened."""

    code = "conflict"
    status = 409


class IdempotencyConflictError(ConflictError):
    """This idempotency key was used before, for another request."""

    code = "idempotency_conflict"


class AlreadySettledError(ConflictError):
    """The request with this Idempotency-Key has already been carried out."""

    code = "already_settled"


class CustomerActiveError(ConflictError):
    """Something of this customer's is not finished yet."""

    code = "customer_active"


class HoldEndedError(ConflictError):
    """This hold has already ended."""

    code = "hold_ended"


class OverrunError(ConflictError):
    """More was used than the hold had reserved."""

    code = "hold_overrun"


class DuplicateGrantError(ConflictError):
    """This purchase has already granted, with other contents."""

    code = "duplicate_grant"


class RefundTooLargeError(ConflictError):
    """More is to be refunded than is left of the payment."""

    code = "refund_too_large"


class RefundRefusedError(ConflictError):
    """Stripe refused this refund; no money has moved."""

    code = "refund_refused"


class SweepStoppedError(ConflictError):
    """Too many subscriptions would end; nothing was changed."""

    code = "sweep_stopped"


class SellerNotReadyError(ConflictError):
    """This seller can't be paid yet, or no longer."""

    code = "seller_not_ready"


class OrderClosedError(ConflictError):
    """This order can't be changed or paid any more."""

    code = "order_closed"


class PaymentStateError(ConflictError):
    """The payment is not in a state in which this can be done."""

    code = "payment_state"


class LedgerInvariantError(GatekeeperError):
    """An account contradicts itself; the command was refused."""

    code = "ledger_invariant"


# -- refused for now: try again -------------------------------------------------------------------


class UnavailableError(GatekeeperError):
    """This can't be done right now; try again."""

    code = "unavailable"
    status = 503
    retry_after_seconds = 1


class StoreUnavailableError(UnavailableError):
    """The database can't be reached; try again."""

    code = "store_unavailable"


class TransactionConflictError(UnavailableError):
    """Two transactions met and this one gave way; run it again."""

    code = "transaction_conflict"


class OverloadedError(UnavailableError):
    """More is asked for than can be queued; try again."""

    code = "overloaded"


class StripeUnavailableError(UnavailableError):
    """Stripe can't be reached; try again."""

    code = "stripe_unavailable"


class ShuttingDownError(UnavailableError):
    """The app is shutting down; try again."""

    code = "shutting_down"


class RateLimitedError(GatekeeperError):
    """Too many requests; try again later."""

    code = "rate_limited"
    status = 429
    retry_after_seconds = 1

    def __init__(self, detail: str | None = None, *, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


# -- the outbox ----------------------------------------------------------------------------------


class UndeliverableError(GatekeeperError):
    """A message can't be delivered, now or later."""

    code = "undeliverable"


# -- webhooks -------------------------------------------------------------------------------------


class WebhookError(GatekeeperError):
    """This is not a webhook that Stripe sent to us."""

    code = "webhook_invalid"
    status = 400


class SignatureError(WebhookError):
    """The Stripe-Signature header does not prove that Stripe sent this body."""

    code = "signature_invalid"


class PayloadError(WebhookError):
    """The body is not an event of Stripe's."""

    code = "payload_invalid"


class PayloadTooLargeError(WebhookError):
    """The body is larger than the limit."""

    code = "payload_too_large"
    status = 413


class EventError(GatekeeperError):
    """An event can't be carried out."""

    code = "event_failed"


class PermanentError(EventError):
    """Trying this event again would change nothing."""

    code = "event_failed_for_good"


class DependencyMissingError(EventError):
    """What this event builds upon is not there yet."""

    code = "event_dependency_missing"


class StripeRequestError(GatekeeperError):
    """Stripe refused a request of ours."""

    code = "stripe_request_refused"
    status = 502


class CardDeclinedError(StripeRequestError):
    """The payment was declined."""

    code = "card_declined"
    status = 402


class AuthenticationRequiredError(CardDeclinedError):
    """The bank wants the payment to be confirmed by its holder."""

    code = "authentication_required"


class ProjectionError(GatekeeperError):
    """An object of Stripe's does not have the shape that it must have."""

    code = "projection_failed"

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path} {problem}.", path=path)
