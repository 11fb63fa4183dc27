"""Keeps what the `stripe` package logs free of secrets and of what customers have told us.

At DEBUG the package logs the body of every request and answer: e-mail addresses, addresses, the
last digits of cards. Which request it was, and how it ended, stays in the log.
"""

import logging
import os
import re
from typing import Final

from gatekeeper.telemetry.redaction import redact

_LOGGERS: Final = (
    "stripe",
    "httpx",
    "httpcore",
    # A filter of a logger is not asked for what its children write.
    *(f"httpcore.{name}" for name in ("connection", "http11", "http2", "proxy", "socks")),
)
_BODY: Final = re.compile(r"\b(post_data|body|error_message)=.*", re.DOTALL)
_QUERY: Final = re.compile(r"(https?://[^\s?\"']+)\?[^\s\"']*")


class _WithoutSecrets(logging.Filter):
    """Rewrites a record; lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        quiet = redact(_QUERY.sub(r"\1?...", _BODY.sub(r"\1=...", message)))
        if quiet != message:
            record.msg, record.args = quiet, ()
        return True


_FILTER: Final = _WithoutSecrets()


def keep_quiet() -> None:
    """Put the filter before the loggers of what carries our requests; once is enough. And keep the
    package from printing bodies past all loggers, as it does where `STRIPE_LOG` is "debug": signing
    secrets are in them."""
    import stripe  # here: it takes up to half a second

    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
    if "debug" in (stripe.log, os.environ.get("STRIPE_LOG")):
        stripe.log = "info"
