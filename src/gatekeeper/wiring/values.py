"""What each part is made of, as the settings have it."""

from datetime import timedelta

from gatekeeper.cache import Cache, CachePolicy, MemoryCache
from gatekeeper.catalog import Catalog
from gatekeeper.entitlements import AccessPolicy, Entitlements, EntitlementsCodec
from gatekeeper.errors import SettingsError
from gatekeeper.projection.velocity import parse_rules
from gatekeeper.services.health import Thresholds
from gatekeeper.services.metering import LENGTHS
from gatekeeper.services.rules import FreezePolicy, Rules
from gatekeeper.settings import Settings
from gatekeeper.storage.port import Store
from gatekeeper.storage.sql.store import store_for
from gatekeeper.stripe.client import Limits, StripeGateway
from gatekeeper.stripe.reconciliation import ReconcilePolicy
from gatekeeper.stripe.subscribing import SubscribingPolicy
from gatekeeper.telemetry import Telemetry
from gatekeeper.types import Clock


def rules_of(catalog: Catalog, settings: Settings, telemetry: Telemetry) -> Rules:
    """What decides: the catalogue, and the policies of the settings."""
    return Rules(
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
        disputes_borne_by=settings.disputes_borne_by,
    )


def subscribing_policy(settings: Settings) -> SubscribingPolicy:
    """What customers may do about their subscriptions."""
    named = (one.strip() for one in settings.coupons.split(","))
    return SubscribingPolicy(
        downgrades=settings.downgrades,
        coupons=frozenset(one for one in named if one),
        checkout_promotion_codes=settings.checkout_promotion_codes,
    )


def store_of(settings: Settings, clock: Clock | None) -> Store:
    """The store of the settings' database.

    Raises:
        SettingsError: there is none.
    """
    if settings.database_url is None:
        raise SettingsError(["GATEKEEPER_DATABASE_URL is not set, and is needed here"])
    return store_for(
        settings.database_url.get_secret_value(),
        clock=clock,
        auto_upgrade=settings.schema_auto_upgrade,
    )


def cache_of(settings: Settings, clock: Clock) -> Cache[Entitlements]:
    """A cache in Redis where there is one, else in this process."""
    policy = CachePolicy(settings.cache_ttl_seconds, settings.cache_max_customers)
    if settings.redis_url is None:
        return MemoryCache(policy, clock=clock)
    # Here: importing its client takes 0.3 s.
    from gatekeeper.cache.redis import RedisCache, RedisOptions

    url = settings.redis_url.get_secret_value()
    options = RedisOptions(namespace=settings.redis_namespace)
    return RedisCache(url, EntitlementsCodec(), policy, options, clock=clock)


def gateway_of(settings: Settings, telemetry: Telemetry) -> StripeGateway | None:
    """The connection to Stripe; None without a key."""
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


def reconcile_policy(settings: Settings) -> ReconcilePolicy:
    """When to reconcile, and what."""
    hours = settings.reconcile_every_hours
    return ReconcilePolicy(
        every=timedelta(hours=hours) if hours else None,
        connected=settings.reconcile_connected_accounts,
        copies=settings.reconcile_copies,
    )


def thresholds(settings: Settings) -> Thresholds:
    """From when on the gate is not well."""
    hours = settings.reconcile_every_hours if settings.stripe_secret_key is not None else 0
    return Thresholds(
        inbox_age_seconds=settings.health_max_inbox_age_seconds,
        outbox_lag_seconds=settings.health_max_outbox_lag_seconds,
        unsealed_seconds=LENGTHS[settings.usage_window].total_seconds()
        + settings.usage_grace_seconds
        + settings.health_max_outbox_lag_seconds,
        dead_letters=settings.health_max_dead_letters,
        reconciliation_age=timedelta(hours=2 * hours) if hours else None,
    )
