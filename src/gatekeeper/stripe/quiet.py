"""Keeps what the `stripe` package logs free of secrets and of what customers have told us.

At DEBUG the package logs the body of every request and answer: e-mail addresses, addresses, the
last digits of cards. Which request it was, and how it ended, stays in the log.
"""

import logging
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
    """Put the filter before the loggers of what carries our requests; once is enough."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
