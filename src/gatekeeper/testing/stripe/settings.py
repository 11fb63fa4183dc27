"""What a simulator can be told."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

API_VERSION = "2026-10-28.endive"

DEFAULT_API_KEY = "sk_test_simulator"
PUBLISHABLE_KEYS = {False: "pk_test_simulator", True: "pk_live_simulator"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One simulated Stripe account in one mode.

    `api_key` decides the mode: `sk_live_...` gives objects with `livemode: true`. With `ticking`
    false the clock stands still until it is moved. `signing_clock` gives the second that stands in
    a webhook's signature; it is real time by default, because most receivers check it against
    theirs. `auto_deliver` is for servers: webhooks leave by themselves; without it they leave when
    `deliver_pending()` is called.
    """

    api_key: str = DEFAULT_API_KEY
    account_id: str = "acct_1SimulatorSimulat"
    account_name: str = "Simulated business"
    application_id: str = "ca_1SimulatorSimulatorSimulator"
    """Of the platform, as connected accounts and application fees name it."""
    country: str = "IE"
    currency: str = "eur"
    seed: int | None = None
    start: datetime | None = None
    ticking: bool = True
    signing_clock: Callable[[], float] = time.time
    auto_deliver: bool = False
    public_url: str | None = None
    """Where browsers reach the hosted pages; None: where the API was called."""

    # Billing settings that a Stripe account has in its dashboard.
    draft_seconds: int = 3_600
    """How long a renewal's invoice stays a draft (Stripe: about an hour)."""
    incomplete_seconds: int = 23 * 3_600
    """How long a first payment may take (Stripe: 23 hours)."""
    retry_days: tuple[int, ...] = (3, 5, 7)
    """Days between the attempts to collect a failed renewal."""
    after_retries: Literal["cancel", "unpaid", "past_due"] = "cancel"
    """What becomes of a subscription whose retries are used up."""
    delayed_payment_seconds: int = 180
    """How long a bank debit takes to succeed or fail."""
    trial_notice_seconds: int = 3 * 86_400
    """How long before its end `customer.subscription.trial_will_end` is sent (Stripe: 3 days)."""

    # What a Stripe account is charged, and how long its money takes.
    fee_basis_points: int = 150
    """The share of a payment that Stripe keeps, in hundredths of a percent."""
    fee_fixed: int = 25
    """What Stripe keeps of each payment besides, in minor units."""
    booking_seconds: int = 0
    """After how long a charge has its balance transaction; not at once, `charge.updated` tells (at
    Stripe, about a second with the capture method `automatic_async`, its default)."""
    settlement_days: int = 7
    """How long a payment's money is pending before it is available."""
    payout_schedule: Literal["daily", "manual"] = "manual"
    """Whether what is available is paid out every day (Stripe's default), or by hand."""
    payout_days: int = 2
    """How long a payout takes to arrive."""
    balance_checked: bool = False
    """Whether a transfer out of the balance is refused when there is too little, as at Stripe."""
    refund_seconds: int = 60
    """How long a refund of the cards `pm_card_pendingRefund` and `pm_card_refundFail` takes."""
    refund_reference_seconds: int | None = None
    """After how long a card refund's reference number is there, which `refund.updated` tells (at
    Stripe, hours or days); None: never."""
    dispute_review_seconds: int = 5
    """How long a bank takes to judge the evidence of test mode (at Stripe, seconds too)."""
    meter_errors: Literal["at_once", "later"] = "at_once"
    """Whether a meter event that cannot be billed is refused, or accepted and reported afterwards
    by `v1.billing.meter.error_report_triggered` (or `no_meter_found`): Stripe does either."""
    meter_report_seconds: int = 10
    """How long errors of meter events are gathered for one report."""
    disputes_prevented: bool = False
    """Whether the account is enrolled in Dispute Resolution, which prevents some disputes."""

    webhook_timeout_seconds: float = 10.0
    webhook_retry_seconds: tuple[int, ...] = field(
        default=(300, 1_800, 7_200, 18_000, 36_000, 43_200, 43_200, 43_200, 43_200)
    )
    """Waits between the attempts at one delivery (Stripe: up to three days, ever longer)."""
    event_limit: int = 50_000
    """How many events are kept; the oldest leave first (Stripe keeps 30 days of them)."""

    @property
    def publishable_key(self) -> str:
        """The key that browsers get; it is the same one for every simulator of a mode."""
        return PUBLISHABLE_KEYS[self.livemode]

    @property
    def livemode(self) -> bool:
        """Whether the key is a live one."""
        return self.api_key.startswith(("sk_live_", "rk_live_"))
