"""The parts of one gate."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from gatekeeper.cache import Cache
from gatekeeper.catalog import Catalog
from gatekeeper.entitlements import Entitlements
from gatekeeper.errors import ConfigurationError
from gatekeeper.services.analytics import Denials
from gatekeeper.services.audit import Auditor
from gatekeeper.services.copies import Copies
from gatekeeper.services.credits import Credits
from gatekeeper.services.customers import CustomerDirectory
from gatekeeper.services.freezes import FreezeDesk
from gatekeeper.services.health import HealthDesk
from gatekeeper.services.live import LiveDesk
from gatekeeper.services.metering import Sealer, UsageRecorder
from gatekeeper.services.outbox import Deliverer
from gatekeeper.services.outbox.caches import CacheTeller
from gatekeeper.services.reports import ReportDesk
from gatekeeper.services.resolver import Resolver
from gatekeeper.services.rules import Rules
from gatekeeper.services.standing import StandingDesk
from gatekeeper.services.statements import Statements
from gatekeeper.services.surveyor import Surveyor
from gatekeeper.services.transfers import TransferDesk
from gatekeeper.services.upkeep import Upkeep
from gatekeeper.storage.port import Store
from gatekeeper.stripe.backfill import Backfill
from gatekeeper.stripe.checkout import Checkout
from gatekeeper.stripe.client import StripeGateway
from gatekeeper.stripe.identities import StripeIdentities
from gatekeeper.stripe.invoices import InvoiceDesk
from gatekeeper.stripe.meters import MeterSender
from gatekeeper.stripe.moves import PriceMover
from gatekeeper.stripe.orders import OrderDesk, OrderIntents, OrderSessions
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.profiles import Profiles
from gatekeeper.stripe.reconciliation import Reconciler
from gatekeeper.stripe.refunds import RefundDesk
from gatekeeper.stripe.selling.disputes import DisputeDesk
from gatekeeper.stripe.selling.paybacks import PaybackTaker
from gatekeeper.stripe.selling.sellers import SellerDesk
from gatekeeper.stripe.selling.transfers import TransferSender
from gatekeeper.stripe.subscribing import PaymentMethods, Subscribing
from gatekeeper.stripe.top_ups.desk import TopUpDesk
from gatekeeper.stripe.top_ups.payer import TopUpPayer
from gatekeeper.stripe.webhooks import (
    Projections,
    WebhookReceiver,
)
from gatekeeper.telemetry import Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeParts:
    """Those of the parts that talk to Stripe, which there are where there is a key."""

    gateway: StripeGateway
    orders: tuple[OrderIntents, OrderSessions]
    outgoing: OutgoingRequests
    projections: Projections
    checkout: Checkout
    subscribing: Subscribing
    payment_methods: PaymentMethods
    backfill: Backfill
    mover: PriceMover
    payer: TransferSender
    taker: PaybackTaker
    sellers: SellerDesk
    top_ups: TopUpDesk
    top_up_payer: TopUpPayer
    disputes: DisputeDesk
    sender: MeterSender
    reconciler: Reconciler
    refunds: RefundDesk
    invoices: InvoiceDesk
    identities: StripeIdentities


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of one gate. `opened` in this order and closed in the other."""

    catalog: Catalog
    rules: Rules
    store: Store
    customers: CustomerDirectory
    resolver: Resolver
    credits: Credits
    auditor: Auditor
    copies: Copies
    freezes: FreezeDesk
    standing: StandingDesk
    live: LiveDesk
    statements: Statements
    profiles: Profiles
    upkeep: Upkeep
    usage: UsageRecorder
    sealer: Sealer
    orders: OrderDesk
    transfers: TransferDesk
    reports: ReportDesk
    receiver: WebhookReceiver
    deliverer: Deliverer
    teller: CacheTeller
    denials: Denials
    stripe: StripeParts | None
    cache: Cache[Entitlements]
    telemetry: Telemetry
    surveyor: Surveyor
    health: HealthDesk
    opened: tuple[AbstractAsyncContextManager[Any], ...]

    @property
    def with_stripe(self) -> StripeParts:
        """The parts that talk to Stripe.

        Raises:
            ConfigurationError: there is no key.
        """
        if self.stripe is None:
            raise ConfigurationError("This needs Stripe: set STRIPE_SECRET_KEY.")
        return self.stripe
