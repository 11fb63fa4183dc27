"""What customers, banks, networks and sellers do: for tests, with no call of the API."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gatekeeper.testing.stripe import thin
from gatekeeper.testing.stripe.api.payment_methods import instrument_of
from gatekeeper.testing.stripe.billing import (
    accounts,
    baskets,
    checkout,
    disputes,
    metering,
    payments,
    payouts,
    refunds,
    reviews,
    setups,
    warnings,
)
from gatekeeper.testing.stripe.core.errors import invalid, missing
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

GOOD_CARD = "4242424242424242"


class Actions:
    """A part of `Simulator`. A payment is named by its charge or its intent; `account` is the
    connected account whose object it is. All answer a copy of the object as it is then."""

    state: State

    @contextmanager
    def _acting(self, account: str | None) -> Iterator[State]:
        with self.state.lock:
            self.state.catch_up()
            yield self.state.of(account)

    # What customers do

    async def complete_checkout(self, session_id: str, **payment: Any) -> Obj:
        """Fill in the hosted page and pay; the session. See `pay_checkout`."""
        return self.pay_checkout(session_id, **payment)

    def pay_checkout(
        self,
        session_id: str,
        *,
        card: str = GOOD_CARD,
        iban: str | None = None,
        email: str | None = None,
        name: str | None = "Test Customer",
        country: str | None = "IE",
        authenticate: bool = True,
        promotion_code: str | None = None,
    ) -> Obj:
        """Pay a session with a test card (or a test IBAN); the session.

        `authenticate` is the customer's answer to 3-D Secure, `promotion_code` what they type into
        that field. Raises ApiError for a decline: the
        session stays open.
        """
        state = self.state
        with state.lock:
            state.catch_up()
            session = state.store.need("checkout.session", session_id)
            instrument = instrument_of(None, iban) if iban else instrument_of(card, None)
            email = email or (None if session["customer_email"] else "customer@example.com")
            if promotion_code is not None:
                due = checkout.due_now(state, session)
                baskets.enter(state, session, promotion_code, due)
            payer = checkout.Payer(instrument, email=email, name=name, country=country)
            if checkout.submit(state, session, payer) == "requires_action":
                checkout.authenticate(state, session, authenticate)
            return copy.deepcopy(session)

    def authenticate(self, intent: str, success: bool = True, *, account: str | None = None) -> Obj:
        """Answer 3-D Secure for a payment or setup intent that asks for it; the intent."""
        with self._acting(account) as state:
            found = state.store.find("payment_intent", intent)
            found = found or state.store.need(setups.KIND, intent)
            if found["status"] != "requires_action":
                raise invalid("There is nothing to authenticate.")
            if found["object"] == setups.KIND:
                setups.authenticate(state, found, success)
            else:
                payments.authenticate(state, found, success)
            return copy.deepcopy(found)

    def fail_payout(
        self, payout: str, code: str = "account_closed", *, account: str | None = None
    ) -> Obj:
        """The bank sends a payout back, even after it had arrived."""
        with self._acting(account) as state:
            return copy.deepcopy(payouts.fail(state, state.store.need("payout", payout), code))

    # Refunds

    def stall_refunds(self, *, times: int = 1, status: str = "pending") -> None:
        """Let the next refunds begin `status` ("pending", or "requires_action", in which the API
        can cancel them) and stay so until `settle_refund`, `fail_refund` or `cancel_refund`."""
        with self.state.lock:
            self.state.stalled_refunds.extend([status] * times)

    def settle_refund(self, refund: str, *, account: str | None = None) -> Obj:
        """The bank takes a pending refund: it has succeeded."""
        with self._acting(account) as state:
            return copy.deepcopy(refunds.settle(state, state.store.need("refund", refund)))

    def fail_refund(
        self, refund: str, reason: str = "expired_or_canceled_card", *, account: str | None = None
    ) -> Obj:
        """The bank sends a refund back, even one that had succeeded."""
        with self._acting(account) as state:
            return copy.deepcopy(refunds.fail(state, state.store.need("refund", refund), reason))

    def cancel_refund(self, refund: str, *, account: str | None = None) -> Obj:
        """Call a refund off in the Dashboard."""
        with self._acting(account) as state:
            return copy.deepcopy(refunds.cancel(state, state.store.need("refund", refund)))

    # Disputes and fraud

    def dispute(
        self,
        payment: str,
        *,
        reason: str = "fraudulent",
        amount: int | None = None,
        status: str = "needs_response",
        account: str | None = None,
    ) -> Obj:
        """The cardholder disputes a payment: all of it, or `amount`.

        `status` "warning_needs_response" makes it an inquiry, "prevented" one that the networks
        stopped before it took any money.
        """
        with self._acting(account) as state:
            charge = _charge(state, payment)
            return copy.deepcopy(
                disputes.dispute(state, charge, reason=reason, amount=amount, status=status)
            )

    def escalate_dispute(self, dispute: str, *, account: str | None = None) -> Obj:
        """An inquiry becomes a chargeback."""
        with self._acting(account) as state:
            found = state.store.need("dispute", dispute)
            disputes.escalate(state, found)
            return copy.deepcopy(found)

    def close_dispute(self, dispute: str, status: str, *, account: str | None = None) -> Obj:
        """The bank decides: "won", "lost", or for an inquiry "warning_closed"."""
        with self._acting(account) as state:
            found = state.store.need("dispute", dispute)
            inquiry = found["status"].startswith("warning")
            if status not in (("warning_closed",) if inquiry else ("won", "lost")):
                raise invalid(f"A dispute that is {found['status']} cannot become {status}.")
            return copy.deepcopy(disputes.close(state, found, status))

    def warn_of_fraud(
        self,
        payment: str,
        fraud_type: str = "unauthorized_use_of_card",
        *,
        account: str | None = None,
    ) -> Obj:
        """The card's issuer sends an early fraud warning of a payment."""
        with self._acting(account) as state:
            return copy.deepcopy(warnings.warn(state, _charge(state, payment), fraud_type))

    def open_review(
        self, payment: str, reason: str = "manual", *, account: str | None = None
    ) -> Obj:
        """Somebody ("manual") or Radar ("rule") wants a payment to be looked at."""
        with self._acting(account) as state:
            return copy.deepcopy(reviews.open_(state, _charge(state, payment), reason))

    def close_review(self, payment: str, reason: str, *, account: str | None = None) -> Obj:
        """Close a payment's review: "approved", "disputed", "redacted", ..."""
        with self._acting(account) as state:
            charge = _charge(state, payment)
            closed = reviews.close(state, charge, reason)
            if closed is None:
                raise missing("review", charge["review"] or "")
            return copy.deepcopy(closed)

    # Metered usage

    def report_meter_errors(
        self, meter: str | None, *errors: tuple[str, str], account: str | None = None
    ) -> Obj:
        """Stripe reports errors of meter events: each a code ("meter_event_customer_not_found")
        and the event's identifier. No meter: of events whose meter it did not find."""
        with self._acting(account) as state:
            found = None if meter is None else state.store.need("billing.meter", meter)
            begun = state.now() - state.settings.meter_report_seconds
            return thin.whole(metering.report(state, found, list(errors), begun))

    # Connected accounts

    def onboard(self, account_id: str) -> Obj:
        """Do what a connected account's owner does on Stripe's pages; the account."""
        with self._acting(None) as state:
            return copy.deepcopy(accounts.onboard(state, account_id))

    def set_capability(
        self, account_id: str, name: str, status: str, reason: str | None = None
    ) -> Obj:
        """Let a capability ("transfers", "card_payments") be "active", "pending" or "inactive";
        `reason` is Stripe's `disabled_reason`. The account."""
        with self._acting(None) as state:
            account = state.store.need("account", account_id)
            accounts.set_status(state, account, name, status, reason)
            return copy.deepcopy(account)

    def deauthorize(self, account_id: str) -> None:
        """A connected account's owner takes leave of the platform."""
        with self._acting(None) as state:
            accounts.deauthorize(state, account_id)


def _charge(state: State, payment: str) -> Obj:
    intent = state.store.find("payment_intent", payment)
    return state.store.need("charge", intent["latest_charge"] or "" if intent else payment)
