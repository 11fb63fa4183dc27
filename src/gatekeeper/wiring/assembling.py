"""Making the parts of one gate."""

from dataclasses import replace
from datetime import timedelta

from gatekeeper.cache import Cache
from gatekeeper.catalog import Catalog
from gatekeeper.entitlements import Entitlements
from gatekeeper.services import duplicates, top_ups
from gatekeeper.services.analytics import Denials
from gatekeeper.services.audit import Auditor
from gatekeeper.services.copies import Copies
from gatekeeper.services.credits import Credits
from gatekeeper.services.customers import CustomerDirectory
from gatekeeper.services.freezes import FreezeDesk
from gatekeeper.services.health import HealthDesk
from gatekeeper.services.ledger.batcher import Batcher
from gatekeeper.services.ledger.ways import Ways
from gatekeeper.services.live import LiveDesk
from gatekeeper.services.metering import Sealer, UsageRecorder
from gatekeeper.services.outbox import Deliverer, DeliveryPolicy, SignalRegistry
from gatekeeper.services.outbox.caches import CacheTeller, Invalidate
from gatekeeper.services.reports import ReportDesk
from gatekeeper.services.resolver import Resolver
from gatekeeper.services.rules import Rules
from gatekeeper.services.standing import StandingDesk
from gatekeeper.services.statements import Statements
from gatekeeper.services.surveyor import Surveyor
from gatekeeper.services.transfers import TransferDesk
from gatekeeper.services.upkeep import Upkeep
from gatekeeper.settings import Settings
from gatekeeper.storage.port import Store
from gatekeeper.stripe.backfill import Backfill
from gatekeeper.stripe.checkout import Checkout
from gatekeeper.stripe.client import StripeGateway
from gatekeeper.stripe.duplicates import NAME as DUPLICATES
from gatekeeper.stripe.duplicates import DuplicateRefunds
from gatekeeper.stripe.identities import StripeIdentities
from gatekeeper.stripe.invoices import InvoiceDesk
from gatekeeper.stripe.meter_reports import MeterReports
from gatekeeper.stripe.meters import MeterSender
from gatekeeper.stripe.moves import PriceMover
from gatekeeper.stripe.orders import OrderDesk, OrderIntents, OrderSessions
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.profiles import Profiles, ProfilesAtStripe
from gatekeeper.stripe.reconciliation import Reconciler, last_run, reconciled_at
from gatekeeper.stripe.refunds import RefundDesk
from gatekeeper.stripe.selling.disputes import DisputeDesk
from gatekeeper.stripe.selling.paybacks import PaybackTaker
from gatekeeper.stripe.selling.sellers import SellerDesk
from gatekeeper.stripe.selling.transfers import TransferSender
from gatekeeper.stripe.sold_prices import SoldPrices
from gatekeeper.stripe.subscribing import Means, PaymentMethods, Subscribing
from gatekeeper.stripe.top_ups.desk import TopUpDesk
from gatekeeper.stripe.top_ups.payer import TopUpPayer
from gatekeeper.stripe.webhooks import (
    DispatchPolicy,
    Projections,
    WebhookReceiver,
    WebhookRegistry,
)
from gatekeeper.telemetry import OFF, Telemetry
from gatekeeper.types import Clock, utc_now
from gatekeeper.wiring.parts import Parts, StripeParts
from gatekeeper.wiring.values import (
    cache_of,
    gateway_of,
    reconcile_policy,
    rules_of,
    store_of,
    subscribing_policy,
    thresholds,
)


def assemble(
    catalog: Catalog,
    settings: Settings,
    registry: WebhookRegistry,
    signals: SignalRegistry,
    *,
    store: Store | None = None,
    cache: Cache[Entitlements] | None = None,
    clock: Clock | None = None,
    telemetry: Telemetry = OFF,
) -> Parts:
    """Make the parts. What is given takes the place of what the settings would make.

    Raises:
        SettingsError: there is no database.
    """
    now = clock or utc_now
    rules = rules_of(catalog, settings, telemetry)
    store = store or store_of(settings, clock)
    cache = cache or cache_of(settings, now)
    resolver = Resolver(store, cache, rules, telemetry)
    forget = resolver.invalidate
    batcher = Batcher(Ways(store, rules))
    credits_ = Credits(store, rules, batcher, telemetry)
    gateway = gateway_of(settings, telemetry)
    projections = None if gateway is None else Projections(gateway, store, rules, forget)
    delivery = DeliveryPolicy(max_attempts=settings.outbox_max_attempts)
    deliverer = Deliverer(store, signals, delivery, telemetry=telemetry)
    receiver = _receiver(registry, store, settings, projections, telemetry)
    receiver.afterwards = deliverer.run_once
    stripe = None
    if gateway is not None and projections is not None:
        stripe = _with_stripe(
            gateway, projections, store, settings, rules, forget, receiver, signals
        )
    return Parts(
        catalog=catalog,
        rules=rules,
        store=store,
        customers=CustomerDirectory(store, rules, forget),
        resolver=resolver,
        credits=credits_,
        auditor=Auditor(store, rules, forget),
        copies=Copies(store, rules),
        freezes=FreezeDesk(store, forget),
        standing=StandingDesk(store, rules),
        live=LiveDesk(store, rules),
        statements=Statements(store),
        profiles=_profiles(store, stripe),
        upkeep=_upkeep(store, credits_, settings),
        usage=UsageRecorder(store, rules, now),
        sealer=_sealer(store, settings),
        orders=OrderDesk(store, *((None, None) if stripe is None else stripe.orders)),
        transfers=TransferDesk(store),
        reports=ReportDesk(store),
        receiver=receiver,
        deliverer=deliverer,
        teller=CacheTeller(store, forget),
        denials=Denials(store, now),
        stripe=stripe,
        cache=cache,
        telemetry=telemetry,
        surveyor=Surveyor(
            store, telemetry, reconciled_at, every_seconds=settings.telemetry_every_seconds
        ),
        health=_health(store, settings, cache, gateway),
        opened=(store, batcher, cache, *(() if gateway is None else (gateway,))),
    )


def _profiles(store: Store, stripe: StripeParts | None) -> Profiles:
    if stripe is None:
        return Profiles(store, None)
    return Profiles(store, ProfilesAtStripe(stripe.gateway, stripe.outgoing, stripe.identities))


def _receiver(
    registry: WebhookRegistry,
    store: Store,
    settings: Settings,
    projections: Projections | None,
    telemetry: Telemetry,
) -> WebhookReceiver:
    return WebhookReceiver(
        registry,
        store,
        settings.webhook_secrets,
        livemode=settings.livemode,
        tolerance_seconds=settings.webhook_tolerance_seconds,
        max_body_bytes=settings.webhook_max_body_bytes,
        inline=settings.inline_dispatch,
        policy=DispatchPolicy(max_attempts=settings.dispatch_max_attempts),
        projectors={} if projections is None else projections.by_type,
        telemetry=telemetry,
    )


def _upkeep(store: Store, credits_: Credits, settings: Settings) -> Upkeep:
    return Upkeep(
        store,
        credits_,
        payload_retention=timedelta(days=settings.payload_retention_days),
        event_retention=timedelta(days=settings.event_retention_days),
    )


def _sealer(store: Store, settings: Settings) -> Sealer:
    grace = timedelta(seconds=settings.usage_grace_seconds)
    return Sealer(store, length=settings.usage_window, grace=grace)


def _health(
    store: Store,
    settings: Settings,
    cache: Cache[Entitlements],
    gateway: StripeGateway | None,
) -> HealthDesk:
    return HealthDesk(
        store,
        thresholds(settings),
        last_run,
        cache=cache,
        circuit=None if gateway is None else gateway.circuit,
        timeout_seconds=settings.health_timeout_seconds,
    )


def _with_stripe(
    gateway: StripeGateway,
    projections: Projections,
    store: Store,
    settings: Settings,
    rules: Rules,
    forget: Invalidate,
    receiver: WebhookReceiver,
    signals: SignalRegistry,
) -> StripeParts:
    """The parts that talk to Stripe, with what they hear of."""
    outgoing = OutgoingRequests(gateway, store)
    if settings.refund_duplicates:
        refunds = DuplicateRefunds(gateway, outgoing)
        signals.on(duplicates.TOPIC, name=DUPLICATES)(refunds.settle)
    copies = projections.copies["payment_intent"]
    top_up_payer = TopUpPayer(gateway, store, rules, outgoing, copies)
    signals.on(top_ups.DUE, name=top_ups.RECEIVER)(top_up_payer.on_due)
    MeterReports(gateway).register(receiver.registry)
    silent = Projections(gateway, store, replace(rules, tells=False), forget)
    identities = StripeIdentities(gateway, outgoing, store)
    policy = reconcile_policy(settings)
    allowed = subscribing_policy(settings)
    means = Means(
        gateway=gateway,
        store=store,
        rules=rules,
        outgoing=outgoing,
        identities=identities,
        prices=SoldPrices(gateway, store, rules),
        projections=projections,
        policy=allowed,
    )
    intents = OrderIntents(gateway, store, outgoing, projections)
    return StripeParts(
        gateway=gateway,
        orders=(intents, OrderSessions(gateway, store, outgoing, projections, intents)),
        outgoing=outgoing,
        identities=identities,
        invoices=InvoiceDesk(gateway, store, outgoing, projections),
        projections=projections,
        checkout=Checkout(gateway, store, rules, forget, outgoing, allowed),
        subscribing=Subscribing(means),
        payment_methods=PaymentMethods(means),
        backfill=Backfill(gateway, store, silent, projections),
        mover=PriceMover(gateway, store, rules.catalog, outgoing),
        payer=TransferSender(gateway, store, outgoing),
        taker=PaybackTaker(gateway, store, outgoing),
        disputes=DisputeDesk(store, rules, outgoing, projections.money),
        sellers=SellerDesk(gateway, store, outgoing, projections.copies["account"]),
        top_ups=TopUpDesk(store, rules, gateway),
        top_up_payer=top_up_payer,
        sender=MeterSender(gateway, store, rules.catalog, identities),
        refunds=RefundDesk(gateway, store, outgoing),
        reconciler=Reconciler(gateway, store, receiver, projections, policy, rules.telemetry),
    )
