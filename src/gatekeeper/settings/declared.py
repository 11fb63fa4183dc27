"""All settings, and how they are read: from the environment, from a file, or given in code.

Names are `GATEKEEPER_*` and Stripe's own `STRIPE_*`. `.env.example` lists all of them. Durations
and sizes carry their unit at the end of their name.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, DotEnvSettingsSource, NoDecode, SettingsConfigDict

from gatekeeper.errors import SettingsError
from gatekeeper.services.metering import WindowLength
from gatekeeper.services.notices.smtp import SmtpTls
from gatekeeper.services.rules import DisputeBearer, Downgrades, PartialRefunds
from gatekeeper.settings import values
from gatekeeper.settings.faults import (
    ENV_PREFIX,
    described,
    shown,
    unknown_overrides,
    unknown_variables,
)

MAX_CACHE_TTL_SECONDS: Final = 30
"""Revoked access is denied within this time even with Redis gone (invariant 9 of the design)."""

PauseCollectionAccess = Literal["keep", "deny"]
"""Whether a subscription keeps its access while `pause_collection` is set."""


class Settings(BaseSettings):
    """Everything that can be set from outside. Frozen; its repr shows no secret.

    Make one with `Settings.load(...)`, which reports all faults at once by our `SettingsError`.
    `database_url`, `redis_url` and the keys are `SecretStr`: `.get_secret_value()` opens them.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,  # `NAME=` in an env file is "not set"
        extra="ignore",  # `load` reports what is unknown, with a hint
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )
    env_names: ClassVar[dict[str, str]]
    """The name in the environment of each setting."""

    # -- where things are -------------------------------------------------------------------------

    database_url: Annotated[SecretStr, AfterValidator(values.database_url)] | None = None
    """`sqlite:///path` or `postgresql+asyncpg://...`, normalised from the usual forms."""

    schema_auto_upgrade: bool = False
    """Bring the schema up to date when the gate opens. Only for SQLite."""

    redis_url: Annotated[SecretStr, AfterValidator(values.redis_url)] | None = None
    """Shares cached entitlements and invalidations between processes. Optional."""

    redis_namespace: Annotated[str, AfterValidator(values.redis_namespace)] = ""
    """Keeps two apps apart that share a Redis."""

    upgrade_url: Annotated[str, AfterValidator(values.upgrade_url)] | None = None
    """Where a 402 sends people: a path or an https URL."""

    # -- Stripe -----------------------------------------------------------------------------------

    stripe_secret_key: Annotated[SecretStr, AfterValidator(values.secret_key)] | None = Field(
        None, validation_alias="STRIPE_SECRET_KEY"
    )
    """None: this process never calls Stripe."""

    stripe_webhook_secret: Annotated[
        tuple[SecretStr, ...],
        NoDecode,  # no JSON: secrets are separated by commas
        BeforeValidator(values.split_secrets),
        AfterValidator(values.webhook_secrets),
    ] = Field((), validation_alias="STRIPE_WEBHOOK_SECRET")
    """All secrets in force: two during a rotation."""

    stripe_publishable_key: Annotated[str, AfterValidator(values.publishable_key)] | None = Field(
        None, validation_alias="STRIPE_PUBLISHABLE_KEY"
    )
    stripe_api_base: Annotated[str, AfterValidator(values.api_base)] | None = Field(
        None, validation_alias="STRIPE_API_BASE"
    )
    """None: Stripe itself. The simulator's address otherwise."""

    stripe_timeout_seconds: int = Field(20, ge=1, le=120)
    """How long one request to Stripe may take."""

    stripe_max_retries: int = Field(2, ge=0, le=10)
    """How often a request that failed is sent again, under the same idempotency key."""

    stripe_max_per_second: int = Field(20, ge=1, le=10_000)
    """Reads that this process sends in a second, and as many writes: its part of the account's
    limit, which is 25 in test mode and 100 in live mode."""

    stripe_max_at_once: int = Field(20, ge=1, le=1_000)
    """Requests to Stripe that this process has running at once."""

    stripe_outage_threshold: int = Field(5, ge=1, le=1_000)
    """After so many requests in a row without an answer, requests fail at once."""

    stripe_outage_retry_seconds: int = Field(15, ge=1, le=3_600)
    """How often one request finds out whether Stripe answers again."""

    # -- webhooks ---------------------------------------------------------------------------------

    webhook_max_body_bytes: int = Field(2**20, ge=2**10, le=2**24)
    """Larger bodies are a 413."""

    webhook_tolerance_seconds: int = Field(300, ge=1, le=600)
    """How far a signature's timestamp may be from now. Zero would switch the check off."""

    background_work: bool = True
    """Dispatch, deliver, report, reconcile and prune beside the requests of this process."""

    inline_dispatch: bool = False
    """Handle an event within the request that brings it, for hosts without a background."""

    dispatch_max_attempts: int = Field(25, ge=1, le=100)
    """An event that failed so often is a dead letter."""

    payload_retention_days: int = Field(30, ge=1, le=3_650)
    """Raw payloads, and messages that were sent, are purged after this."""

    event_retention_days: int = Field(90, ge=31, le=3_650)
    """Events that are over are forgotten after this, with the record of which handlers have had
    them. Stripe can send an event for 30 days: none of those must be forgotten."""

    outbox_max_attempts: int = Field(15, ge=1, le=100)
    """A message of the outbox that failed so often is a dead letter."""

    reconcile_every_hours: int = Field(24, ge=0, le=720)
    """How often the worker compares what we have with Stripe; 0: never."""

    reconcile_connected_accounts: bool = False
    """Replay the missed events of connected accounts too: one listing for each account. Where
    copies are compared, theirs are too."""

    reconcile_copies: bool = False
    """Compare all copies with each scheduled run, too: a request for each hundred objects."""

    # -- telling customers and counting ----------------------------------------------------------

    smtp_host: str | None = None
    """The mail server for notices to customers; None: no mail."""

    smtp_port: int = Field(587, ge=1, le=65_535)
    """587 for `starttls`, 465 for `tls`."""

    smtp_tls: SmtpTls = "starttls"
    """How the connection to the mail server is encrypted."""

    smtp_username: str | None = None
    """Who logs in to the mail server; None: nobody does."""

    smtp_password: SecretStr | None = None
    """The password for it."""

    smtp_from: Annotated[str, AfterValidator(values.mail_sender)] | None = None
    """Who notices come from: `Acme <billing@acme.example>`."""

    posthog_key: SecretStr | None = None
    """The key of the PostHog project that `gate.analyse` sends to."""

    posthog_host: Annotated[str, AfterValidator(values.api_base)] = "https://eu.i.posthog.com"
    """Where the PostHog project is."""

    # -- access and credits -----------------------------------------------------------------------

    past_due_grace_days: int = Field(7, ge=0, le=365)
    """How long access lasts after the oldest unpaid invoice was finalised or was due."""

    renewal_grace_hours: int = Field(24, ge=0, le=744)
    """How long a window's remainder outlives the window while its renewal is unpaid."""

    pause_collection_access: PauseCollectionAccess = "deny"
    """Access while collection is paused."""

    downgrades: Downgrades = "period_end"
    """When a customer who changes to less has it: with the next period, or at once, with a credit
    for the rest of the present one."""

    coupons: Annotated[str, AfterValidator(values.coupons)] = ""
    """The ids of Stripe's coupons that a page may name when it begins a purchase, separated by
    commas."""

    checkout_promotion_codes: bool = False
    """Let people type a promotion code on Stripe's checkout page."""

    freeze_on_fraud_warning: bool = True
    """Freeze a customer's credits at an early fraud warning of one of their payments."""

    freeze_on_dispute: bool = False
    """Freeze a customer's credits while a dispute takes their money back; won, it ends."""

    freeze_on_review: bool = False
    """Freeze a customer's credits while a payment of theirs is under review."""

    velocity_rules: Annotated[str, AfterValidator(values.velocity_rules)] = ""
    """What of a customer's payments is too much in too short a time: rules such as
    `failed_payments>5/24h:freeze`, separated by commas."""

    refund_duplicates: bool = False
    """Cancel and refund the later of two subscriptions of one plan that were paid for in checkouts
    that were open at once. Either way it is told, and counts for nothing beside the other."""

    partial_refunds: PartialRefunds = "take_back"
    """Whether the refund of a part of a subscription's invoice takes back its part of the credits;
    one in full always does, and so does any refund of a pack."""

    disputes_borne_by: DisputeBearer = "platform"
    """Whose loss it is when a buyer disputes what a seller has sold: `seller` gives their share
    back while the money is withdrawn, and gets it again when the dispute is won."""

    hold_ttl_seconds: int = Field(300, ge=1, le=86_400)
    """A hold that is neither settled nor renewed expires after this."""

    usage_window: WindowLength = "hour"
    """How long the windows are in which metered usage is put together: one meter event each."""

    usage_grace_seconds: int = Field(60, ge=0, le=86_400)
    """How long after its end a window waits for rows that come late, until it is sealed."""

    cache_ttl_seconds: int = Field(MAX_CACHE_TTL_SECONDS, ge=1, le=MAX_CACHE_TTL_SECONDS)
    """How long entitlements may be answered from memory."""

    cache_max_customers: int = Field(10_000, ge=1, le=10_000_000)
    """How many customers' entitlements a process keeps in memory."""

    # -- what operators see -----------------------------------------------------------------------

    telemetry_every_seconds: int = Field(30, ge=0, le=3_600)
    """How often the queues are counted for the gauges, while anybody collects them; 0: never."""

    health_timeout_seconds: int = Field(2, ge=1, le=30)
    """How long a look at the database may take."""

    health_max_inbox_age_seconds: int = Field(300, ge=1, le=86_400)
    """An event that waits for longer makes the health degraded."""

    health_max_outbox_lag_seconds: int = Field(300, ge=1, le=86_400)
    """A message, or a window of usage, that waits for longer makes the health degraded."""

    health_max_dead_letters: int = Field(0, ge=0, le=1_000_000)
    """More dead letters of one kind than these make the health degraded."""

    # -- what depends on another setting: on one declared above it -------------------------------

    @field_validator("schema_auto_upgrade")
    @classmethod
    def _auto_upgrade_is_for_sqlite(cls, value: bool, info: ValidationInfo) -> bool:
        url = info.data.get("database_url")
        if value and url is not None and not values.is_sqlite(url):
            raise ValueError(
                "must be false with PostgreSQL: run `gatekeeper db upgrade` when you deploy"
            )
        return value

    @field_validator("stripe_publishable_key")
    @classmethod
    def _keys_have_one_mode(cls, value: str | None, info: ValidationInfo) -> str | None:
        key = info.data.get("stripe_secret_key")
        if value is not None and key is not None:
            mode = "live" if values.key_is_live(key.get_secret_value()) else "test"
            if values.key_is_live(value) != (mode == "live"):
                raise ValueError(f"must be of {mode} mode, as STRIPE_SECRET_KEY is: pk_{mode}_...")
        return value

    @field_validator("stripe_api_base")
    @classmethod
    def _live_keys_travel_encrypted(cls, value: str | None, info: ValidationInfo) -> str | None:
        key = info.data.get("stripe_secret_key")
        if value is None or key is None or value.lower().startswith("https:"):
            return value
        if values.key_is_live(key.get_secret_value()):
            raise ValueError("must be https when STRIPE_SECRET_KEY is a live key")
        return value

    # -- for those who use them -------------------------------------------------------------------

    @property
    def livemode(self) -> bool | None:
        """Whether the key is of live mode; None without a key."""
        key = self.stripe_secret_key
        return None if key is None else values.key_is_live(key.get_secret_value())

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """The signing secrets in the clear, for `gatekeeper.stripe.signature.verify`."""
        return tuple(secret.get_secret_value() for secret in self.stripe_webhook_secret)

    @classmethod
    def load(
        cls,
        *,
        env_file: str | Path | None = None,
        required: Iterable[str] = (),
        **overrides: Any,
    ) -> Self:
        """Read the settings: `overrides` by field name, else the environment, else `env_file`.

        `required` names fields that this process can't do without, though others can.

        Raises:
            SettingsError: naming every setting that is wrong, missing or unknown, by its name in
                the environment, with what would be right. Values are never repeated.
        """
        faults = list(unknown_overrides(overrides, cls.model_fields))
        variables: dict[str, str | None] = dict(os.environ)
        try:
            variables = _read_env_file(env_file) | variables
        except (OSError, UnicodeError):
            faults.append(f"the file {shown(str(env_file))} can't be read as UTF-8 text")
            env_file = None
        faults += unknown_variables(variables, cls.env_names.values())
        given = {name: value for name, value in overrides.items() if name in cls.model_fields}
        settings: Self | None = None
        try:
            settings = cls(_env_file=env_file, _env_file_encoding="utf-8", **given)
        except ValidationError as error:
            faults += described(error, cls.model_fields, cls.env_names)
        is_set = _is_set(variables, given) if settings is None else settings.model_dump()
        faults += [
            f"{cls.env_names[name]} is not set, and is needed here"
            for name in required
            if not is_set.get(name)
        ]
        if faults or settings is None:
            raise SettingsError(faults)
        return settings


Settings.env_names = {
    name: str(field.validation_alias or f"{ENV_PREFIX}{name.upper()}")
    for name, field in Settings.model_fields.items()
}


def _read_env_file(env_file: str | Path | None) -> dict[str, str | None]:
    if env_file is None:
        return {}
    Path(env_file).read_text("utf-8")  # raises: pydantic-settings takes a missing file for empty
    source = DotEnvSettingsSource(Settings, env_file=env_file, env_file_encoding="utf-8")
    return dict(source.env_vars)


def _is_set(variables: Mapping[str, str | None], given: Mapping[str, object]) -> dict[str, object]:
    """What each setting was given as, right or wrong, by the precedence of `load`."""
    upper = {name.upper(): value for name, value in variables.items()}
    return {name: upper.get(env) for name, env in Settings.env_names.items()} | dict(given)
