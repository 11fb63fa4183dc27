"""The settings: what is accepted, in what form, and how everything wrong is reported at once."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError
from sqlalchemy.engine import make_url

from gatekeeper.errors import SettingsError
from gatekeeper.settings import Settings
from gatekeeper.wiring.values import subscribing_policy

ENV_EXAMPLE = Path(__file__).parents[1] / ".env.example"


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith(("GATEKEEPER_", "STRIPE_")):
            monkeypatch.delenv(name)


def faults_of(**arguments: Any) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        Settings.load(**arguments)
    return caught.value.faults


def fault_of(**arguments: Any) -> str:
    (fault,) = faults_of(**arguments)
    return fault


def database_url_of(settings: Settings) -> str:
    assert settings.database_url is not None
    return settings.database_url.get_secret_value()


# -- where values come from -----------------------------------------------------------------------


def test_defaults_need_no_environment() -> None:
    assert Settings.load().model_dump() == {
        "freeze_on_fraud_warning": True,
        "freeze_on_dispute": False,
        "partial_refunds": "take_back",
        "disputes_borne_by": "platform",
        "telemetry_every_seconds": 30,
        "refund_duplicates": False,
        "freeze_on_review": False,
        "velocity_rules": "",
        "health_timeout_seconds": 2,
        "health_max_inbox_age_seconds": 300,
        "health_max_outbox_lag_seconds": 300,
        "health_max_dead_letters": 0,
        "database_url": None,
        "schema_auto_upgrade": False,
        "redis_url": None,
        "redis_namespace": "",
        "upgrade_url": None,
        "stripe_secret_key": None,
        "stripe_webhook_secret": (),
        "stripe_publishable_key": None,
        "stripe_api_base": None,
        "stripe_timeout_seconds": 20,
        "stripe_max_retries": 2,
        "stripe_max_per_second": 20,
        "stripe_max_at_once": 20,
        "stripe_outage_threshold": 5,
        "stripe_outage_retry_seconds": 15,
        "webhook_max_body_bytes": 1_048_576,
        "webhook_tolerance_seconds": 300,
        "background_work": True,
        "inline_dispatch": False,
        "dispatch_max_attempts": 25,
        "payload_retention_days": 30,
        "event_retention_days": 90,
        "outbox_max_attempts": 15,
        "reconcile_every_hours": 24,
        "reconcile_connected_accounts": False,
        "reconcile_copies": False,
        "smtp_host": None,
        "smtp_port": 587,
        "smtp_tls": "starttls",
        "smtp_username": None,
        "smtp_password": None,
        "smtp_from": None,
        "posthog_key": None,
        "posthog_host": "https://eu.i.posthog.com",
        "past_due_grace_days": 7,
        "renewal_grace_hours": 24,
        "pause_collection_access": "deny",
        "downgrades": "period_end",
        "coupons": "",
        "checkout_promotion_codes": False,
        "hold_ttl_seconds": 300,
        "usage_window": "hour",
        "usage_grace_seconds": 60,
        "cache_ttl_seconds": 30,
        "cache_max_customers": 10_000,
    }


def test_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "GATEKEEPER_DATABASE_URL": "sqlite:///host.db",
        "GATEKEEPER_SCHEMA_AUTO_UPGRADE": "true",
        "GATEKEEPER_REDIS_URL": "redis://localhost:6379/0",
        "GATEKEEPER_PAUSE_COLLECTION_ACCESS": "keep",
        "GATEKEEPER_HOLD_TTL_SECONDS": "60",
        "STRIPE_SECRET_KEY": "rk_test_1",
        "STRIPE_WEBHOOK_SECRET": "whsec_1",
        "STRIPE_PUBLISHABLE_KEY": "pk_test_1",
        "STRIPE_API_BASE": "http://127.0.0.1:4242/",
    }.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert database_url_of(settings) == "sqlite:///host.db"
    assert settings.schema_auto_upgrade is True
    assert settings.redis_url == SecretStr("redis://localhost:6379/0")
    assert settings.pause_collection_access == "keep"
    assert settings.hold_ttl_seconds == 60
    assert settings.stripe_secret_key == SecretStr("rk_test_1")
    assert settings.webhook_secrets == ("whsec_1",)
    assert settings.stripe_publishable_key == "pk_test_1"
    assert settings.stripe_api_base == "http://127.0.0.1:4242"


@pytest.mark.parametrize(
    ("field", "in_environment", "in_code"),
    [
        ("hold_ttl_seconds", "60", 90),
        ("stripe_publishable_key", "pk_test_environment", "pk_test_code"),
        ("redis_url", "redis://environment", None),
    ],
)
def test_what_is_given_in_code_wins_over_the_environment(
    monkeypatch: pytest.MonkeyPatch, field: str, in_environment: str, in_code: object
) -> None:
    monkeypatch.setenv(Settings.env_names[field], in_environment)
    overrides: dict[str, Any] = {field: in_code}
    assert getattr(Settings.load(**overrides), field) == in_code


def test_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "app.env"
    file.write_text("GATEKEEPER_HOLD_TTL_SECONDS=60\nSTRIPE_SECRET_KEY=sk_test_file\nOTHER=1\n")
    monkeypatch.setenv("GATEKEEPER_HOLD_TTL_SECONDS", "90")
    settings = Settings.load(env_file=file)
    assert settings.hold_ttl_seconds == 90
    assert settings.stripe_secret_key == SecretStr("sk_test_file")


def test_file_in_the_working_directory_is_not_read_unasked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("GATEKEEPER_HOLD_TTL_SECONDS=60\n")
    monkeypatch.chdir(tmp_path)
    assert Settings.load().hold_ttl_seconds == 300


def test_empty_variables_are_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.env_names.values():
        monkeypatch.setenv(name, "")
    assert Settings.load().model_dump() == Settings().model_dump()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings.load().hold_ttl_seconds = 1  # type: ignore[misc]  # the very thing to show


# -- .env.example ---------------------------------------------------------------------------------


def test_env_example_loads_and_its_values_are_the_defaults() -> None:
    assert Settings.load(env_file=ENV_EXAMPLE).model_dump() == Settings().model_dump()


def test_env_example_lists_exactly_the_settings_that_exist() -> None:
    lines = ENV_EXAMPLE.read_text("utf-8").splitlines()
    names = [line.partition("=")[0] for line in lines if line and not line.startswith("#")]
    assert sorted(names) == sorted(Settings.env_names.values())


def test_env_example_writes_out_every_default_that_is_a_value() -> None:
    text = ENV_EXAMPLE.read_text("utf-8")
    for name, value in Settings().model_dump().items():
        written = re.search(rf"^{Settings.env_names[name]}=(.*)$", text, re.MULTILINE)
        assert written is not None
        assert written[1] == ("" if value in (None, ()) else str(value).lower())


# -- faults ---------------------------------------------------------------------------------------


def test_every_fault_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "GATEKEEPER_DATABASE_URL": "mysql://root:hunter2@db/app",
        "GATEKEEPER_REDIS_URL": "http://:hunter2@cache",
        "GATEKEEPER_DATABSE_URL": "hunter2",
        "GATEKEEPER_INLINE_DISPATCH": "hunter2",
        "GATEKEEPER_CACHE_TTL_SECONDS": "31",
        "GATEKEEPER_PAUSE_COLLECTION_ACCESS": "hunter2",
        "STRIPE_SECRET_KEY": "hunter2",
        "STRIPE_WEBHOOK_SECRET": "whsec_hunter2,hunter2",
        "STRIPE_PUBLISHABLE_KEY": "sk_live_hunter2",
        "STRIPE_API_BASE": "ftp://hunter2",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        Settings.load(upgrade_url="hunter2", hold_ttl="hunter2", required=["stripe_secret_key"])
    message = str(caught.value)
    assert "hunter2" not in message
    assert message.startswith("The configuration of Gatekeeper has 12 fault(s):\n  - ")
    assert [fault.split()[0] for fault in caught.value.faults] == [
        "hold_ttl",
        "GATEKEEPER_DATABSE_URL",
        "GATEKEEPER_DATABASE_URL",
        "GATEKEEPER_REDIS_URL",
        "GATEKEEPER_UPGRADE_URL",
        "STRIPE_SECRET_KEY",
        "STRIPE_WEBHOOK_SECRET",
        "STRIPE_PUBLISHABLE_KEY",
        "STRIPE_API_BASE",
        "GATEKEEPER_INLINE_DISPATCH",
        "GATEKEEPER_PAUSE_COLLECTION_ACCESS",
        "GATEKEEPER_CACHE_TTL_SECONDS",
    ]


def test_error_carries_no_secret_in_its_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", "hunter2")
    with pytest.raises(SettingsError) as caught:
        Settings.load(database_url="postgresql://u:hunter2@h:port/db")
    found: BaseException | None = caught.value
    while found is not None:
        assert "hunter2" not in f"{found} {found!r} {found.args}"
        found = found.__context__


def test_unknown_variable_is_a_fault_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEKEEPER_REDIS_ULR", "redis://localhost")
    assert fault_of() == ("GATEKEEPER_REDIS_ULR is no setting; did you mean GATEKEEPER_REDIS_URL?")


def test_unknown_variable_that_is_like_no_setting_gets_no_hint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GATEKEEPER_\x1b[31mXYZXYZXYZ", "1")
    assert fault_of() == r"GATEKEEPER_\x1b[31MXYZXYZXYZ is no setting"


def test_unknown_variable_in_the_file_is_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "app.env"
    file.write_text("GATEKEEPER_HOLD_TTL=60\n")
    assert "did you mean GATEKEEPER_HOLD_TTL_SECONDS?" in fault_of(env_file=file)


def test_variables_of_others_and_of_test_suites_are_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("GATEKEEPER_TEST_POSTGRES_URL", "GATEKEEPERS", "STRIPE_DEVICE_NAME", "MY_STRIPE"):
        monkeypatch.setenv(name, "anything")
    assert Settings.load().model_dump() == Settings().model_dump()


def test_unknown_name_in_code_is_a_fault_with_the_nearest_name() -> None:
    assert fault_of(databse_url="x") == "databse_url is no setting; did you mean database_url?"


def test_missing_file_is_a_fault(tmp_path: Path) -> None:
    assert "nowhere.env can't be read" in fault_of(env_file=tmp_path / "nowhere.env")


def test_file_that_is_not_utf_8_is_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "app.env"
    file.write_bytes(b"GATEKEEPER_UPGRADE_URL=/\xff\n")
    assert "as UTF-8 text" in fault_of(env_file=file)


def test_required_settings_that_are_missing_are_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_test_1")
    needed = ["database_url", "stripe_secret_key", "stripe_webhook_secret"]
    missing = (
        "GATEKEEPER_DATABASE_URL is not set, and is needed here",
        "STRIPE_WEBHOOK_SECRET is not set, and is needed here",
    )
    assert faults_of(required=needed) == missing
    with_another = faults_of(required=needed, hold_ttl_seconds=0)
    assert with_another == (
        "GATEKEEPER_HOLD_TTL_SECONDS must be a whole number from 1 to 86400",
        *missing,
    )
    assert faults_of(required=["stripe_secret_key"], stripe_secret_key=None) == (
        "STRIPE_SECRET_KEY is not set, and is needed here",
    )


@pytest.mark.parametrize(
    ("field", "low", "high"),
    [
        ("stripe_timeout_seconds", 1, 120),
        ("stripe_max_retries", 0, 10),
        ("stripe_max_per_second", 1, 10_000),
        ("stripe_max_at_once", 1, 1_000),
        ("stripe_outage_threshold", 1, 1_000),
        ("stripe_outage_retry_seconds", 1, 3_600),
        ("webhook_max_body_bytes", 1_024, 16_777_216),
        ("webhook_tolerance_seconds", 1, 600),
        ("dispatch_max_attempts", 1, 100),
        ("payload_retention_days", 1, 3_650),
        ("event_retention_days", 31, 3_650),
        ("past_due_grace_days", 0, 365),
        ("renewal_grace_hours", 0, 744),
        ("hold_ttl_seconds", 1, 86_400),
        ("cache_ttl_seconds", 1, 30),
        ("cache_max_customers", 1, 10_000_000),
    ],
)
def test_numbers_have_bounds(
    monkeypatch: pytest.MonkeyPatch, field: str, low: int, high: int
) -> None:
    name = Settings.env_names[field]
    for accepted in (low, high):
        monkeypatch.setenv(name, str(accepted))
        assert getattr(Settings.load(), field) == accepted
    for refused in (str(low - 1), str(high + 1), "many", "1.5", "9" * 5_000, "NaN", "1e3"):
        monkeypatch.setenv(name, refused)
        assert fault_of() == f"{name} must be a whole number from {low} to {high}"


def test_case_07_tolerance_of_zero_cannot_be_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("0", "-300"):
        monkeypatch.setenv("GATEKEEPER_WEBHOOK_TOLERANCE_SECONDS", value)
        assert "must be a whole number from 1 to 600" in fault_of()


def test_switch_must_be_true_or_false(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEKEEPER_INLINE_DISPATCH", "perhaps")
    assert fault_of() == "GATEKEEPER_INLINE_DISPATCH must be true or false"


def test_coupons_are_ids_separated_by_commas() -> None:
    assert subscribing_policy(Settings(coupons=" A1 ,b_2")).coupons == {"A1", "b_2"}
    assert subscribing_policy(Settings()).coupons == frozenset()
    assert fault_of(coupons="A,,B") == (
        "GATEKEEPER_COUPONS must be the ids of coupons, separated by commas"
    )


def test_pause_collection_access_must_be_one_of_two() -> None:
    assert fault_of(pause_collection_access="allow") == (
        "GATEKEEPER_PAUSE_COLLECTION_ACCESS must be one of: keep, deny"
    )


@pytest.mark.parametrize("field", ["database_url", "stripe_secret_key", "stripe_webhook_secret"])
def test_number_in_place_of_text_is_a_fault(field: str) -> None:
    assert fault_of(**{field: 42}) == f"{Settings.env_names[field]} must be text"


# -- URLs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_url", "normalised"),
    [
        ("sqlite:///x.db", "sqlite:///x.db"),
        ("sqlite:////var/lib/x.db", "sqlite:////var/lib/x.db"),
        ("sqlite+aiosqlite:///x.db", "sqlite:///x.db"),
        ("sqlite+pysqlite:///x.db", "sqlite:///x.db"),
        (" sqlite:///x.db\n", "sqlite:///x.db"),
        ("postgresql://h/db", "postgresql+asyncpg://h/db"),
        ("postgres://u:p@h:5432/db", "postgresql+asyncpg://u:p@h:5432/db"),
        ("POSTGRESQL://h/db", "postgresql+asyncpg://h/db"),
        ("postgresql+psycopg://u:p%40%2F@h/db", "postgresql+asyncpg://u:p%40%2F@h/db"),
        ("postgresql+asyncpg://u:p@[::1]:5432/db", "postgresql+asyncpg://u:p@[::1]:5432/db"),
        ("postgresql://h/db?sslmode=require", "postgresql+asyncpg://h/db?ssl=require"),
        ("postgresql:///db?host=/run/pg", "postgresql+asyncpg:///db?host=%2Frun%2Fpg"),
    ],
)
def test_database_url_gets_the_driver_that_is_used(given_url: str, normalised: str) -> None:
    assert database_url_of(Settings.load(database_url=given_url)) == normalised


def test_database_password_survives_normalisation() -> None:
    settings = Settings.load(database_url="postgresql://u:p%40ss%3Aw%25rd@h/db")
    assert make_url(database_url_of(settings)).password == "p@ss:w%rd"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nonsense", "must be a database URL"),
        ("postgresql://h:port/db", "must be a database URL"),
        ("mysql://h/db", "SQLite or PostgreSQL"),
        ("postgresql+pg8000://h/db", "SQLite or PostgreSQL"),
        ("sqlite://x.db", "three slashes"),
        ("sqlite://", "must name a file"),
        ("sqlite:///", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("sqlite:///file:x?uri=true", "must name a file"),
        ("sqlite:///x.db?timeout=5", "no options"),
        ("postgresql://h", "name the database"),
        ("postgresql://h/", "name the database"),
        ("postgresql://h:0/db", "port from 1 to 65535"),
        ("postgresql://h:65536/db", "port from 1 to 65535"),
        ("postgresql://h/db?channel_binding=require", "channel_binding"),
    ],
)
def test_unusable_database_url_is_a_fault(url: str, expected: str) -> None:
    fault = fault_of(database_url=url)
    assert fault.startswith("GATEKEEPER_DATABASE_URL must ")
    assert expected in fault


def test_schema_auto_upgrade_is_only_for_sqlite() -> None:
    assert Settings.load(
        schema_auto_upgrade=True, database_url="sqlite:///x.db"
    ).schema_auto_upgrade
    assert Settings.load(schema_auto_upgrade=True).schema_auto_upgrade
    fault = fault_of(schema_auto_upgrade=True, database_url="postgresql://h/db")
    assert fault.startswith("GATEKEEPER_SCHEMA_AUTO_UPGRADE must be false with PostgreSQL")


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://:p@h:6379/0",
        "rediss://u:p@h/15",
        "redis://h/",
        "unix:///run/redis.sock",
    ],
)
def test_redis_url_is_accepted(url: str) -> None:
    assert Settings.load(redis_url=url).redis_url == SecretStr(url)


@pytest.mark.parametrize("namespace", ["with space", "a" * 65, "a:b"])
def test_an_unusable_redis_namespace_is_a_fault(namespace: str) -> None:
    wanted = "GATEKEEPER_REDIS_NAMESPACE must be at most 64 letters, digits and ._-"
    assert fault_of(redis_namespace=namespace) == wanted


@pytest.mark.parametrize(
    "url",
    [
        "h:6379",
        "http://h",
        "redis://",
        "redis:///0",
        "redis://h/x",
        "redis://h:99999",
        "unix://",
        "redis://a b",
    ],
)
def test_unusable_redis_url_is_a_fault(url: str) -> None:
    assert fault_of(redis_url=url).startswith("GATEKEEPER_REDIS_URL must be a Redis URL")


@pytest.mark.parametrize(
    "url",
    [
        "/",
        "/pricing?from=app#plans",
        "https://example.com/pricing",
        "http://localhost:8000/pricing",
        "http://[::1]:8000/",
    ],
)
def test_upgrade_url_is_accepted(url: str) -> None:
    assert Settings.load(upgrade_url=url).upgrade_url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "pricing",
        "//evil.example",
        "/\\evil.example",
        "http://example.com",
        "https://",
        "https://user@example.com",
        "https://example.com:port",
        "javascript:alert(1)",
        "data:text/html,x",
        "/a\r\nSet-Cookie: x=1",
        "/a b",
        "/" + "a" * 2_048,
    ],
)
def test_unusable_upgrade_url_is_a_fault(url: str) -> None:
    assert fault_of(upgrade_url=url).startswith("GATEKEEPER_UPGRADE_URL must be a path")


@pytest.mark.parametrize(
    ("url", "normalised"),
    [
        ("http://127.0.0.1:4242", "http://127.0.0.1:4242"),
        ("https://stripe.internal/proxy/", "https://stripe.internal/proxy"),
    ],
)
def test_stripe_api_base_is_accepted(url: str, normalised: str) -> None:
    assert Settings.load(stripe_api_base=url).stripe_api_base == normalised


@pytest.mark.parametrize(
    "url",
    [
        "localhost:4242",
        "ftp://h",
        "http://",
        "https://u:p@h",
        "https://h?x=1",
        "https://h#x",
        "http://h:x",
    ],
)
def test_unusable_stripe_api_base_is_a_fault(url: str) -> None:
    assert fault_of(stripe_api_base=url).startswith("STRIPE_API_BASE must be an http or https URL")


# -- keys and secrets -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "livemode"),
    [("sk_test_a1", False), ("sk_live_a1", True), ("rk_test_a1", False), (" rk_live_a1\n", True)],
)
def test_secret_key_tells_the_mode(key: str, livemode: bool) -> None:
    settings = Settings.load(stripe_secret_key=key)
    assert settings.stripe_secret_key == SecretStr(key.strip())
    assert settings.livemode is livemode


def test_without_a_key_there_is_no_mode() -> None:
    assert Settings.load().livemode is None


@pytest.mark.parametrize(
    "key",
    [
        "pk_test_a",
        "sk_test_",
        "sk_test_...",
        "sk_test_a b",
        "sk_prod_a",
        "whsec_a",
        "sk_test_a\nb",
        "sk_test_é",
    ],
)
def test_unusable_secret_key_is_a_fault(key: str) -> None:
    assert fault_of(stripe_secret_key=key).startswith("STRIPE_SECRET_KEY must be a secret")


@pytest.mark.parametrize("key", ["sk_test_a", "pk_test_", "pk_a", "pk_test_..."])
def test_unusable_publishable_key_is_a_fault(key: str) -> None:
    fault = fault_of(stripe_publishable_key=key)
    assert fault.startswith("STRIPE_PUBLISHABLE_KEY must be a publishable key")


@pytest.mark.parametrize(("key", "other"), [("sk_test_a", "pk_live_a"), ("rk_live_a", "pk_test_a")])
def test_keys_of_two_modes_are_a_fault(key: str, other: str) -> None:
    mode = key.split("_")[1]
    fault = fault_of(stripe_secret_key=key, stripe_publishable_key=other)
    assert fault == (
        f"STRIPE_PUBLISHABLE_KEY must be of {mode} mode, as STRIPE_SECRET_KEY is: pk_{mode}_..."
    )
    same = f"pk_{mode}_a"
    settings = Settings.load(stripe_secret_key=key, stripe_publishable_key=same)
    assert settings.stripe_publishable_key == same


def test_live_key_travels_over_https_alone() -> None:
    live = "sk_live_a"
    fault = fault_of(stripe_secret_key=live, stripe_api_base="http://127.0.0.1:4242")
    assert fault == "STRIPE_API_BASE must be https when STRIPE_SECRET_KEY is a live key"
    for base in ("https://proxy.internal", "HTTPS://proxy.internal"):
        assert Settings.load(stripe_secret_key=live, stripe_api_base=base).stripe_api_base == base
    test = Settings.load(stripe_secret_key="sk_test_a", stripe_api_base="http://127.0.0.1:4242")
    assert test.stripe_api_base == "http://127.0.0.1:4242"


@pytest.mark.parametrize(
    ("given_secrets", "secrets"),
    [
        ("whsec_new", ("whsec_new",)),
        (" whsec_new , whsec_old,\n", ("whsec_new", "whsec_old")),
        ("whsec_a,whsec_a", ("whsec_a",)),
        (",", ()),
        (["whsec_new", "whsec_old"], ("whsec_new", "whsec_old")),
        (SecretStr("whsec_new,whsec_old"), ("whsec_new", "whsec_old")),
        (("whsec_new", SecretStr("whsec_old")), ("whsec_new", "whsec_old")),
    ],
)
def test_webhook_secrets_may_be_several(given_secrets: object, secrets: tuple[str, ...]) -> None:
    assert Settings.load(stripe_webhook_secret=given_secrets).webhook_secrets == secrets


def test_case_05_two_secrets_come_from_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_new,whsec_old")
    assert Settings.load().webhook_secrets == ("whsec_new", "whsec_old")


def test_unusable_webhook_secret_is_named_by_its_number() -> None:
    for secrets in ("whsec_a,sk_test_a", "whsec_a,whsec_", "whsec_a,whsec_b c"):
        assert fault_of(stripe_webhook_secret=secrets) == (
            "STRIPE_WEBHOOK_SECRET must be signing secrets of Stripe's (whsec_...), separated by "
            "commas; number 2 of 2 is not one"
        )


def test_webhook_secrets_are_bounded() -> None:
    eight = ",".join(f"whsec_{number}" for number in range(8))
    assert len(Settings.load(stripe_webhook_secret=eight).webhook_secrets) == 8
    assert "at most 8" in fault_of(stripe_webhook_secret=eight + ",whsec_9")


def test_no_secret_shows() -> None:
    settings = Settings.load(
        database_url="postgresql://u:hunter2@h/db",
        redis_url="redis://:hunter2@h",
        stripe_secret_key="sk_test_hunter2",
        stripe_webhook_secret="whsec_hunter2,whsec_hunter2b",
    )
    for shown in (repr(settings), str(settings), settings.model_dump_json(), f"{settings!r:>9}"):
        assert "hunter2" not in shown


@given(
    st.dictionaries(
        st.sampled_from(sorted(Settings.model_fields)),
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(),
            st.text(),
            st.binary(),
            st.lists(st.text(), max_size=3),
            st.just("postgresql://[::1"),
            st.just("https://[x/"),
        ),
    )
)
def test_whatever_is_given_loads_or_is_a_settings_error(overrides: dict[str, Any]) -> None:
    try:
        settings = Settings.load(**overrides)
    except SettingsError as error:
        assert 1 <= len(error.faults) <= len(overrides)  # noqa: PT017  # the other outcome has none
    else:
        assert settings.webhook_tolerance_seconds > 0
