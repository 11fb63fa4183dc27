"""Asking the library for something, and noting what it answered."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

from gatekeeper.errors import (
    CreditsRequiredError,
    DebtOutstandingError,
    GatekeeperError,
    HoldEndedError,
    OverrunError,
    StoreUnavailableError,
    UnavailableError,
)
from gatekeeper.ledger import Hold
from tests.bank.journal import Journal

T = TypeVar("T")

HANG_SECONDS: Final = 45.0
"""No call takes so long, on the slowest machine: a lock is waited for 5 s, a connection 5 s."""

EXPECTED: Final = (
    CreditsRequiredError,
    DebtOutstandingError,
    HoldEndedError,
    OverrunError,
    UnavailableError,
)
"""What the library may answer to what the workers do; anything else is a fault."""


def of_hold(hold: Hold) -> dict[str, Any]:
    """What the journal keeps of a hold."""
    return {
        "hold": hold.id,
        "status": str(hold.status),
        "amount": hold.amount,
        "captured": hold.captured,
    }


def is_unknown(error: GatekeeperError) -> bool:
    """Whether an answer says that it may have been done."""
    return isinstance(error, StoreUnavailableError) and error.params.get("outcome") == "unknown"


def note_refusal(journal: Journal, number: int, error: GatekeeperError) -> None:
    """Note that something was not done, unless nobody knows."""
    if not isinstance(error, EXPECTED):
        journal.fault(f"question {number}: {error!r}")
    elif not is_unknown(error):
        journal.refused(number, error.code, ended=error.params.get("ended"))


async def answered(journal: Journal, number: int, call: Awaitable[T]) -> T | None:
    """The answer to question `number`; None after a refusal or a fault, which is noted. (That it
    was done is left to the caller to note.)"""
    try:
        async with asyncio.timeout(HANG_SECONDS):
            return await call
    except GatekeeperError as error:
        note_refusal(journal, number, error)
    except TimeoutError:
        journal.fault(f"question {number}: no answer in {HANG_SECONDS} s")
    except Exception as error:  # noqa: BLE001 - the journal has it, and the test fails by it
        journal.fault(f"question {number}: {error!r}")
    return None


class FaultHandler(logging.Handler):
    """Notes the errors that the library logs, unless it logs what it could have answered: an
    account was busy, a hold had ended."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.ERROR)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        """Note a record."""
        cause = record.exc_info[1] if record.exc_info else None
        if not isinstance(cause, EXPECTED):
            self._journal.fault(f"logged: {record.getMessage()}: {cause!r}")
