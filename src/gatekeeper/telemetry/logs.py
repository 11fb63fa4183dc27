"""Logs: every record of ours gets its event's name and fields, and loses what is secret.

By the standard library alone: handlers, levels and formats are the host's. The fields are ordinary
attributes of the record, where structlog's `ExtraAdder` and python-json-logger find them;
`JsonFormatter` is for who has neither.
"""

import logging
import traceback
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from gatekeeper.telemetry.events import EVENTS, LOGGERS
from gatekeeper.telemetry.redaction import redact

_BY_TEMPLATE: Final = {event.template: event for event in EVENTS}

_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; anything else came by `extra=`, or from us."""


class Structure(logging.Filter):
    """Gives a record `event_name` and its fields, and redacts it; lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            self._structure(record)
        except Exception:  # noqa: BLE001 -- whoever logs must not fail for it, whatever they log
            record.msg = "a message whose values can't be shown, of %s:%d"
            record.args = (record.filename, record.lineno)
            record.exc_info = record.exc_text = None
        return True

    @staticmethod
    def _structure(record: logging.LogRecord) -> None:
        event = _BY_TEMPLATE.get(record.msg) if isinstance(record.msg, str) else None
        if event is not None:
            record.event_name = event.name
            values = record.args if isinstance(record.args, tuple) else ()
            for name, value in zip(event.fields, values, strict=False):
                setattr(record, name, _plain(value))
        without_secrets(record)


def without_secrets(record: logging.LogRecord) -> None:
    """Redact a record's message, its fields and its traceback.

    A traceback that holds a secret goes on as redacted text alone, without the exception.
    """
    message = record.getMessage()
    redacted = redact(message)
    if redacted != message:
        record.msg, record.args = redacted, ()
    for name, value in tuple(vars(record).items()):
        if isinstance(value, str) and name not in _OWN:
            setattr(record, name, redact(value))
    if record.exc_info and record.exc_info[1] is not None:
        text = "".join(traceback.format_exception(record.exc_info[1])).rstrip("\n")
        redacted = redact(text)
        if redacted != text:
            record.exc_info, record.exc_text = None, redacted


class JsonFormatter(logging.Formatter):
    """One JSON object for each record: `timestamp` (UTC), `level`, `logger`, `message`,
    `event_name`, the fields, and `exception`. Redacts records of other loggers too."""

    def format(self, record: logging.LogRecord) -> str:
        without_secrets(record)
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat("T", "milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update((name, value) for name, value in vars(record).items() if name not in _OWN)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        elif record.exc_text:
            line["exception"] = record.exc_text
        return redact(msgspec.json.encode(line, enc_hook=str).decode())  # what is nested, too


_STRUCTURE: Final = Structure()


def structure_logs() -> None:
    """Put `Structure` before each of our loggers; once is enough."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_STRUCTURE)


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    return value if isinstance(value, str | int | float | bool | None) else str(value)
