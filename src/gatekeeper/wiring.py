"""Wiring: which parts a gate is made of, and from which settings each is made."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from gatekeeper.cache import Cache, CachePolicy, MemoryCache
from gatekeeper.cache.telling import cache_readings
from gatekeeper.catalog import Catalog
from gatekeeper.entitlements import AccessPolicy, Entitlements, EntitlementsCodec
from gatekeeper.errors import ConfigurationError, SettingsError
from gatekeeper.projection.velocity import parse_rules
from gatekeeper.services import duplicates
from gatekeeper.services.analytics import Denials
from gatekeeper.services.audit import Auditor
from gatekeeper.services.copies import Copies
from gatekeeper.services.credits import Credits
from gatekeeper.services.customers import CustomerDirectory
from gatekeeper.services.freezes import FreezeDesk
from gatekeeper.services.health import HealthDesk, Thresholds
from gatekeeper.services.ledger.batcher import Batcher
from gatekeeper.services.ledger.ways import Ways
from gatekeeper.services.metering import Sealer, UsageRecorder
from gatekeeper.services.outbox import Deliverer, DeliveryPolicy, SignalRegistry
from gatekeeper.services.outbox.caches import CacheTeller
from gatekeeper.services.resolver import Resolver
from gatekeeper.services.rules import FreezePolicy, Rules
from gatekeeper.services.surveyor import WATCHED, Surveyor
from gatekeeper.services.upkeep import Upkeep
from gatekeeper.settings import Settings
from gatekeeper.storage.port import Store
from gatekeeper.storage.sql.store import store_for
from gatekeeper.stripe.backfill import Backfill
from gatekeeper.stripe.checkout import Checkout
from gatekeeper.stripe.client import Limits, StripeGateway
from gatekeeper.stripe.duplicates import NAME as DUPLICATES
from gatekeeper.stripe.duplicates import DuplicateRefunds
from gatekeeper.stripe.identities import StripeIdentities
from gatekeeper.stripe.meter_reports import MeterReports
from gatekeeper.stripe.meters import MeterSender
from gatekeeper.stripe.moves import PriceMover
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.reconciliation import ReconcilePolicy, Reconciler, last_run, reconciled_at
from gatekeeper.stripe.transfers import TransferSender
from gatekeeper.stripe.webhooks import (
    DispatchPolicy,
    Projections,
    WebhookReceiver,
    WebhookRegistry,
)
from gatekeeper.telemetry import OFF, Reading, Telemetry, metrics
from gatekeeper.types import Clock, utc_now

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of one gate. `opened` in this order and closed in the other."""

    catalog: Catalog
    store: Store
    customers: CustomerDirectory
    resolver: Resolver
    credits: Credits
    auditor: Auditor
    copies: Copies
    freezes: FreezeDesk
    upkeep: Upkeep
    usage: UsageRecorder
    sealer: Sealer
    sender: MeterSender | None
    receiver: WebhookReceiver
    deliverer: Deliverer
    teller: CacheTeller
    denials: Denials
    gateway: StripeGateway | None
    checkout: Checkout | None
    reconciliation: Reconciler | None
    takeover: Backfill | None
    mover: PriceMover | None
    outgoing: OutgoingRequests | None
    payer: TransferSender | None
    cache: Cache[Entitlements]
    telemetry: Telemetry
    surveyor: Surveyor
    health: HealthDesk
    opened: tuple[AbstractAsyncContextManager[Any], ...]

    @property
    def stripe(self) -> StripeGateway:
        """The connection to Stripe.

        Raises:
            ConfigurationError: there is no key.
        """
        return _needed(self.gateway)

    @property
    def checkouts(self) -> Checkout:
        """What starts and follows checkouts.

        Raises:
            ConfigurationError: there is no key.
        """
        return _needed(self.checkout)

    @property
    def reconciler(self) -> Reconciler:
        """What finds and repairs where we differ from Stripe.

        Raises:
            ConfigurationError: there is no key.
        """
        return _needed(self.reconciliation)

    @property
    def backfill(self) -> Backfill:
        """What takes over the customers of a Stripe account.

        Raises:
            ConfigurationError: there is no key.
        """
        return _needed(self.takeover)

    @property
    def price_mover(self) -> PriceMover:
        """What moves subscriptions to other prices.

        Raises:
            ConfigurationError: there is no key.
        """
        return _needed(self.mover)


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
    rules = Rules(
        catalog,
        AccessPolicy(
            past_due_grace=timedelta(days=settings.past_due_grace_days),
            renewal_grace=timedelta(hours=settings.renewal_grace_hours),
            pause_collection=settings.pause_collection_access,
        ),
        telemetry=telemetry,
        hold_ttl=timedelta(seconds=settings.hold_ttl_seconds),
        freezes=FreezePolicy(
            on_fraud_warning=settings.freeze_on_fraud_warning,
            on_dispute=settings.freeze_on_dispute,
            on_review=settings.freeze_on_review,
        ),
        velocity=parse_rules(settings.velocity_rules),
        partial_refunds=settings.partial_refunds,
    )
    store = store or _store(settings, clock)
    cache = cache or _cache(settings, clock or utc_now)
    resolver = Resolver(store, cache, rules, telemetry)
    batcher = Batcher(Ways(store, rules))
    credits_ = Credits(store, rules, batcher, telemetry)
    gateway = _gateway(settings, telemetry)
    outgoing = None if gateway is None else OutgoingRequests(gateway, store)
    checkout = (
        None if gateway is None else Checkout(gateway, store, rules, resolver.invalidate, outgoing)
    )
    projections = (
        None if gateway is None else Projections(gateway, store, rules, resolver.invalidate)
    )
    deliverer = Deliverer(
        store,
        signals,
        DeliveryPolicy(max_attempts=settings.outbox_max_attempts),
        telemetry=telemetry,
    )
    receiver = WebhookReceiver(
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
    receiver.afterwards = deliverer.run_once
    reconciliation = None
    takeover = None
    if gateway is not None and projections is not None:
        quiet = Projections(gateway, store, replace(rules, tells=False), resolver.invalidate)
        takeover = Backfill(gateway, store, quiet, projections)
        reconciliation = Reconciler(
            gateway, store, receiver, projections, _reconcile_policy(settings), telemetry
        )
    sender = None
    mover = None
    payer = None
    if gateway is not None and outgoing is not None:
        if settings.refund_duplicates:
            refunds = DuplicateRefunds(gateway, outgoing)
            signals.on(duplicates.TOPIC, name=DUPLICATES)(refunds.settle)
        payer = TransferSender(gateway, store, outgoing)
        mover = PriceMover(gateway, store, catalog, outgoing)
        identities = StripeIdentities(gateway, outgoing, store)
        MeterReports(gateway).register(registry)
        sender = MeterSender(gateway, store, catalog, identities)
    return Parts(
        catalog=catalog,
        store=store,
        customers=CustomerDirectory(store, rules, resolver.invalidate),
        resolver=resolver,
        credits=credits_,
        auditor=Auditor(store, rules, resolver.invalidate),
        copies=Copies(store, rules),
        freezes=FreezeDesk(store, rules, resolver.invalidate),
        upkeep=Upkeep(
            store,
            credits_,
            payload_retention=timedelta(days=settings.payload_retention_days),
            event_retention=timedelta(days=settings.event_retention_days),
        ),
        usage=UsageRecorder(store, rules, clock or utc_now),
        sealer=Sealer(
            store,
            length=settings.usage_window,
            grace=timedelta(seconds=settings.usage_grace_seconds),
        ),
        sender=sender,
        receiver=receiver,
        deliverer=deliverer,
        teller=CacheTeller(store, resolver.invalidate),
        denials=Denials(store, clock or utc_now),
        gateway=gateway,
        checkout=checkout,
        reconciliation=reconciliation,
        takeover=takeover,
        mover=mover,
        payer=payer,
        outgoing=outgoing,
        cache=cache,
        telemetry=telemetry,
        surveyor=Surveyor(
            store,
            telemetry,
            reconciled_at,
            every_seconds=settings.telemetry_every_seconds,
        ),
        health=HealthDesk(
            store,
            _thresholds(settings),
            last_run,
            cache=cache,
            circuit=None if gateway is None else gateway.circuit,
            timeout_seconds=settings.health_timeout_seconds,
        ),
        opened=(store, batcher, cache, *(() if gateway is None else (gateway,))),
    )


Loops = dict[str, Callable[[], Awaitable[None]]]


def loops_of(parts: Parts, settings: Settings, *, everything: bool = False) -> Loops:
    """What runs beside the requests: what this process alone can do, and of the work that any
    process can do what the settings do not leave to others; with `everything` that too."""
    loops: Loops = {"cache teller": parts.teller.run, "denials": parts.denials.run}
    if settings.telemetry_every_seconds:
        loops["surveyor"] = parts.surveyor.run
    if settings.background_work or everything:
        loops |= _work_of(parts, settings)
    if everything or (settings.background_work and not settings.inline_dispatch):
        loops["dispatcher"] = parts.receiver.run
    return loops


def _work_of(parts: Parts, settings: Settings) -> Loops:
    """The work that one process does for all, but for dispatch."""
    loops: Loops = {"upkeep": parts.upkeep.run, "deliverer": parts.deliverer.run}
    if parts.catalog.meters:
        loops["sealer"] = parts.sealer.run
        if parts.sender is not None:
            loops["meters"] = parts.sender.run
    if parts.reconciliation is not None and settings.reconcile_every_hours:
        loops["reconciliation"] = parts.reconciliation.loop
    if parts.outgoing is not None:
        loops["outgoing"] = parts.outgoing.run
    if parts.payer is not None:
        loops["transfers"] = parts.payer.run
    return loops


@contextmanager
def watched(parts: Parts) -> Iterator[None]:
    """The gauges of the parts, for as long as the block runs."""
    gateway, telemetry = parts.gateway, parts.telemetry

    def circuit() -> Iterable[Reading]:
        if gateway is not None:
            yield Reading(metrics.STRIPE_CIRCUIT, 0 if gateway.circuit.is_closed else 1)

    with ExitStack() as stack:
        stack.callback(telemetry.watch(parts.surveyor.readings, WATCHED))
        stack.callback(telemetry.watch(circuit, [metrics.STRIPE_CIRCUIT]))
        counts = partial(cache_readings, parts.cache)
        stack.callback(telemetry.watch(counts, [metrics.CACHE_EVENTS]))
        yield


def _store(settings: Settings, clock: Clock | None) -> Store:
    if settings.database_url is None:
        raise SettingsError(["GATEKEEPER_DATABASE_URL is not set, and is needed here"])
    return store_for(
        settings.database_url.get_secret_value(),
        clock=clock,
        auto_upgrade=settings.schema_auto_upgrade,
    )


def _cache(settings: Settings, clock: Clock) -> Cache[Entitlements]:
    policy = CachePolicy(settings.cache_ttl_seconds, settings.cache_max_customers)
    if settings.redis_url is None:
        return MemoryCache(policy, clock=clock)
    # Here: importing its client takes 0.3 s.
    from gatekeeper.cache.redis import RedisCache, RedisOptions

    url = settings.redis_url.get_secret_value()
    options = RedisOptions(namespace=settings.redis_namespace)
    return RedisCache(url, EntitlementsCodec(), policy, options, clock=clock)


def _gateway(settings: Settings, telemetry: Telemetry) -> StripeGateway | None:
    if settings.stripe_secret_key is None:
        return None
    return StripeGateway(
        settings.stripe_secret_key.get_secret_value(),
        api_base=settings.stripe_api_base,
        timeout_seconds=settings.stripe_timeout_seconds,
        max_network_retries=settings.stripe_max_retries,
        limits=Limits(
            per_second=settings.stripe_max_per_second,
            at_once=settings.stripe_max_at_once,
            outage_threshold=settings.stripe_outage_threshold,
            outage_retry_seconds=settings.stripe_outage_retry_seconds,
        ),
        telemetry=telemetry,
    )


def _reconcile_policy(settings: Settings) -> ReconcilePolicy:
    hours = settings.reconcile_every_hours
    return ReconcilePolicy(
        every=timedelta(hours=hours) if hours else None,
        connected=settings.reconcile_connected_accounts,
    )


def _thresholds(settings: Settings) -> Thresholds:
    hours = settings.reconcile_every_hours
    return Thresholds(
        inbox_age_seconds=settings.health_max_inbox_age_seconds,
        outbox_lag_seconds=settings.health_max_outbox_lag_seconds,
        dead_letters=settings.health_max_dead_letters,
        reconciliation_age=timedelta(hours=2 * hours) if hours else None,
    )


def _needed(part: T | None) -> T:
    if part is None:
        raise ConfigurationError("This needs Stripe: set STRIPE_SECRET_KEY.")
    return part
