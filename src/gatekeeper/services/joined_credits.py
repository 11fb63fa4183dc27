"""Credits inside a synchronous host's own transaction."""

from datetime import timedelta
from typing import TypeVar, Unpack

from gatekeeper.errors import DeniedError
from gatekeeper.ledger import Grant, GrantCredits, Hold
from gatekeeper.services import accounts
from gatekeeper.services.accounts import ReserveRequest
from gatekeeper.services.credit_options import CaptureOptions, ExtendOptions, SettleOptions
from gatekeeper.services.denials import tell_denial
from gatekeeper.services.ledger.batch import carry_out
from gatekeeper.services.ledger.commands import Command
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import JoinedSync
from gatekeeper.telemetry import OFF, Telemetry

R = TypeVar("R")


class JoinedCredits:
    """The credit commands inside one open transaction of the host, on the host's own thread.

    The host commits or rolls back; until then nobody else sees any of it.
    """

    def __init__(self, joined: JoinedSync, rules: Rules, telemetry: Telemetry = OFF) -> None:
        self._telemetry = telemetry
        self._joined = joined
        self._rules = rules

    def reserve(self, request: ReserveRequest) -> Hold:
        """See `accounts.reserve`."""
        try:
            return self._joined.run(lambda tx: accounts.reserve(tx, self._rules, request))
        except DeniedError as error:
            tell_denial(self._telemetry, error, request.name)
            raise

    def capture(
        self, hold_id: str, amount: int | None = None, **options: Unpack[CaptureOptions]
    ) -> Hold:
        """See `accounts.capture`."""
        return self._joined.run(
            lambda tx: accounts.capture(tx, self._rules, hold_id, amount, **options)
        )

    def release(self, hold_id: str, **options: Unpack[SettleOptions]) -> Hold:
        """See `accounts.release`."""
        return self._joined.run(lambda tx: accounts.release(tx, self._rules, hold_id, **options))

    def extend(
        self, hold_id: str, ttl: timedelta | None = None, **options: Unpack[ExtendOptions]
    ) -> Hold:
        """See `accounts.extend`."""
        wanted = self._rules.hold_ttl if ttl is None else ttl
        return self._joined.run(
            lambda tx: accounts.extend(tx, self._rules, hold_id, wanted, **options)
        )

    def carry_out(self, command: Command[R]) -> R:
        """See `batch.carry_out`."""
        return self._joined.run(lambda tx: carry_out(tx, self._rules, command))

    def grant(
        self,
        customer: str,
        unit: str,
        command: GrantCredits,
        *,
        idempotency_key: str | None = None,
    ) -> Grant:
        """See `accounts.grant`."""
        return self._joined.run(
            lambda tx: accounts.grant(
                tx, self._rules, customer, unit, command, idempotency_key=idempotency_key
            )
        )
