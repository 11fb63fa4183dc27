"""Credits inside a synchronous host's own transaction."""

from datetime import timedelta

from gatekeeper.ledger import Grant, GrantCredits, Hold, Overrun
from gatekeeper.services import accounts
from gatekeeper.services.accounts import ReserveRequest
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import JoinedSync


class JoinedCredits:
    """The credit commands inside one open transaction of the host, on the host's own thread.

    The host commits or rolls back; until then nobody else sees any of it.
    """

    def __init__(self, joined: JoinedSync, rules: Rules) -> None:
        self._joined = joined
        self._rules = rules

    def reserve(self, request: ReserveRequest) -> Hold:
        """See `accounts.reserve`."""
        return self._joined.run(lambda tx: accounts.reserve(tx, self._rules, request))

    def capture(
        self,
        hold_id: str,
        amount: int | None = None,
        *,
        overrun: Overrun = "refuse",
        customer: str | None = None,
    ) -> Hold:
        """See `accounts.capture`."""
        return self._joined.run(
            lambda tx: accounts.capture(
                tx, self._rules, hold_id, amount, overrun=overrun, customer=customer
            )
        )

    def release(self, hold_id: str, *, customer: str | None = None) -> Hold:
        """See `accounts.release`."""
        return self._joined.run(
            lambda tx: accounts.release(tx, self._rules, hold_id, customer=customer)
        )

    def extend(
        self,
        hold_id: str,
        ttl: timedelta | None = None,
        *,
        add_amount: int = 0,
        customer: str | None = None,
    ) -> Hold:
        """See `accounts.extend`."""
        wanted = self._rules.hold_ttl if ttl is None else ttl
        return self._joined.run(
            lambda tx: accounts.extend(
                tx, self._rules, hold_id, wanted, add_amount=add_amount, customer=customer
            )
        )

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
