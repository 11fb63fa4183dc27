"""What the text of a setting may be: each function returns the value in its one form, or says in a
`ValueError` what would be right. No message repeats the value: it may be a secret, or hold one.
"""

import re
from collections.abc import Sequence
from email.utils import parseaddr
from typing import Final
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from gatekeeper.projection.velocity import parse_rules

MAX_WEBHOOK_SECRETS: Final = 8
"""Each costs an HMAC of the body whenever a signature is wrong. A rotation needs two."""

_SQLITE_DRIVERS: Final = {"sqlite", "sqlite+pysqlite", "sqlite+aiosqlite"}
_POSTGRESQL_DRIVERS: Final = {
    "postgres",  # as some hosters write it
    "postgresql",
    "postgresql+asyncpg",
    "postgresql+psycopg",
    "postgresql+psycopg2",
}
_DATABASE_EXAMPLES: Final = "sqlite:///gatekeeper.db or postgresql://user:password@host/database"
_MAX_URL_CHARS: Final = 2_048
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]")

# https://docs.stripe.com/keys: secret and restricted keys, of live and of test mode.
_SECRET_KEY: Final = re.compile(r"(?:sk|rk)_(live|test)_[A-Za-z0-9_]+")
_PUBLISHABLE_KEY: Final = re.compile(r"pk_(live|test)_[A-Za-z0-9_]+")
_WEBHOOK_SECRET: Final = re.compile(r"whsec_[\x21-\x2b\x2d-\x7e]+")


def database_url(value: SecretStr) -> SecretStr:
    """A database URL with the driver that Gatekeeper uses: `sqlite` or `postgresql+asyncpg`."""
    text = value.get_secret_value().strip()
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError(f"must be a database URL such as {_DATABASE_EXAMPLES}") from None
    driver = url.drivername.lower()
    if driver in _SQLITE_DRIVERS:
        return _secret(_sqlite(url))
    if driver in _POSTGRESQL_DRIVERS:
        return _secret(_postgresql(url))
    raise ValueError(f"must be a URL of SQLite or PostgreSQL, such as {_DATABASE_EXAMPLES}")


def _sqlite(url: URL) -> URL:
    if url.host:
        raise ValueError(
            "must have three slashes before a relative path and four before an absolute one: "
            "sqlite:///gatekeeper.db, sqlite:////var/lib/gatekeeper.db"
        )
    if not url.database or url.database.startswith((":memory:", "file:")):
        raise ValueError(
            "must name a file, such as sqlite:///gatekeeper.db: SQLite in memory can't be shared "
            "by connections (for tests there is the memory store)"
        )
    if url.query:
        raise ValueError("must have no options after the path: Gatekeeper sets SQLite's own")
    return url.set(drivername="sqlite")


def _postgresql(url: URL) -> URL:
    if not url.database:
        raise ValueError("must name the database: postgresql://user:password@host/database")
    if url.port is not None and not 0 < url.port < 65_536:
        raise ValueError("must have a port from 1 to 65535")
    if "channel_binding" in url.query:
        raise ValueError("must not have channel_binding, which the driver asyncpg does not know")
    query = dict(url.query)
    if "sslmode" in query:  # libpq's word, which hosters put into their URLs; asyncpg's is ssl
        query["ssl"] = query.pop("sslmode")
    return url.set(drivername="postgresql+asyncpg", query=query)


def is_sqlite(url: SecretStr) -> bool:
    """Whether a URL that `database_url` returned is SQLite's."""
    return url.get_secret_value().startswith("sqlite:")


def redis_namespace(value: str) -> str:
    """A part of every key of ours in Redis."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{0,64}", value):
        raise ValueError("must be at most 64 letters, digits and ._-")
    return value


def redis_url(value: SecretStr) -> SecretStr:
    """A Redis URL: `redis://`, `rediss://` (TLS) or `unix://`."""
    text = value.get_secret_value().strip()
    expected = "must be a Redis URL such as redis://localhost:6379/0, rediss://... or unix://..."
    parts = _split_url(text, expected)
    if parts.scheme == "unix":
        usable = len(parts.path) > 1
    else:
        is_number = re.fullmatch(r"/?|/[0-9]{1,4}", parts.path) is not None
        usable = parts.scheme in {"redis", "rediss"} and bool(parts.hostname) and is_number
    if not usable:
        raise ValueError(expected)
    return SecretStr(text)


def secret_key(value: SecretStr) -> SecretStr:
    """A secret or restricted API key of Stripe's."""
    text = value.get_secret_value().strip()
    if not _SECRET_KEY.fullmatch(text):
        raise ValueError(
            "must be a secret or restricted key of Stripe's: sk_test_..., sk_live_..., "
            "rk_test_... or rk_live_..."
        )
    return SecretStr(text)


def publishable_key(value: str) -> str:
    """A publishable API key of Stripe's. It is no secret: every browser gets it."""
    text = value.strip()
    if not _PUBLISHABLE_KEY.fullmatch(text):
        raise ValueError("must be a publishable key of Stripe's: pk_test_... or pk_live_...")
    return text


def key_is_live(key: str) -> bool:
    """Whether a key that was accepted above acts in live mode."""
    return key.split("_", 2)[1] == "live"


def velocity_rules(value: str) -> str:
    """Rules as `projection/velocity.py` reads them."""
    parse_rules(value)
    return value


def coupons(value: str) -> str:
    """Ids of coupons, separated by commas."""
    for one in value.split(","):
        if value and (not one.strip() or not one.strip().isprintable() or " " in one.strip()):
            raise ValueError("must be the ids of coupons, separated by commas")
    return value


def split_secrets(value: object) -> object:
    """Secrets that are separated by commas in one text, one by one. Anything else is left alone."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def webhook_secrets(values: Sequence[SecretStr]) -> tuple[SecretStr, ...]:
    """Signing secrets of webhook endpoints, each once."""
    texts = list(dict.fromkeys(value.get_secret_value() for value in values))
    if len(texts) > MAX_WEBHOOK_SECRETS:
        raise ValueError(f"must have at most {MAX_WEBHOOK_SECRETS} secrets")
    for number, text in enumerate(texts, 1):
        if not _WEBHOOK_SECRET.fullmatch(text):
            raise ValueError(
                f"must be signing secrets of Stripe's (whsec_...), separated by commas; "
                f"number {number} of {len(texts)} is not one"
            )
    return tuple(map(SecretStr, texts))


def api_base(value: str) -> str:
    """Where Stripe's API is, without a slash at the end."""
    text = value.strip()
    expected = "must be an http or https URL without a user, a query or a fragment"
    parts = _split_url(text, expected)
    is_web = parts.scheme in {"http", "https"} and bool(parts.hostname)
    if not is_web or "@" in parts.netloc or "?" in text or "#" in text:
        raise ValueError(expected)
    return text.rstrip("/")


def upgrade_url(value: str) -> str:
    """Where people go to upgrade: a path of this site or an https URL (http on this machine)."""
    text = value.strip()
    expected = "must be a path that begins with one slash, such as /pricing, or an https URL"
    if len(text) > _MAX_URL_CHARS or "\\" in text:
        raise ValueError(expected)
    parts = _split_url(text, expected)
    is_path = text.startswith("/") and not text.startswith("//")
    is_local = parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1", "::1"}
    is_https = parts.scheme == "https" and bool(parts.hostname)
    if not (is_path or ((is_https or is_local) and "@" not in parts.netloc)):
        raise ValueError(expected)
    return text


def mail_sender(value: str) -> str:
    """Who mail comes from: an address, or a name with the address in angle brackets."""
    text = value.strip()
    _, address = parseaddr(text)
    if _CONTROL.search(text) or not re.fullmatch(r"[^@\s]+@[^@\s]+", address):
        raise ValueError("must be a mail address, such as Acme <billing@acme.example>")
    return text


def _split_url(text: str, expected: str) -> SplitResult:
    """Split a URL; `urlsplit` alone would drop line breaks and accept any port."""
    if _UNPRINTABLE.search(text):
        raise ValueError(expected)
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises when it is none
    except ValueError:
        raise ValueError(expected) from None
    return parts


def _secret(url: URL) -> SecretStr:
    return SecretStr(url.render_as_string(hide_password=False))
