"""What a customer may spend: holds, grants, caps and balances."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Unpack

from gatekeeper.catalog import Measures
from gatekeeper.ledger import Balance, Grant, Hold, Overrun
from gatekeeper.services.credit_options import (
    CapOptions,
    CaptureOptions,
    ExtendOptions,
    GrantOptions,
    ReserveOptions,
    SettleOptions,
    lapsed_in,
    manual_grant,
    reserve_request,
    revocation,
)
from gatekeeper.services.reservation import Reservation
from gatekeeper.sync.waiting import Waiting
from gatekeeper.types import Every


class CreditCalls(Waiting):
    """The ledger's commands and questions."""

    @contextmanager
    def reserve(
        self,
        customer: str,
        name: str,
        quantity: Measures = 1,
        *,
        overrun: Overrun = "cap",
        **options: Unpack[ReserveOptions],
    ) -> Iterator[Reservation]:
        """As `gate.reserve` used with `async with`; takes the same options."""
        pending = self.gate.reserve(customer, name, quantity, overrun=overrun, **options)
        reservation = self.call(pending.__aenter__)
        try:
            yield reservation
        except BaseException as error:
            self.call(pending.__aexit__, type(error), error, error.__traceback__)
            raise
        self.call(pending.__aexit__, None, None, None)

    def hold(
        self,
        customer: str,
        name: str,
        quantity: Measures = 1,
        *,
        session: object = None,
        **options: Unpack[ReserveOptions],
    ) -> Hold:
        """Make a hold to be settled later by `capture` or `release`, here or elsewhere."""
        credits_ = self.gate.credits
        request = reserve_request(customer, name, quantity, **options)
        if session is not None:
            return credits_.joined(session).reserve(request)
        return self.call(credits_.reserve, request)

    def capture(
        self,
        hold_id: str,
        amount: int | None = None,
        *,
        session: object = None,
        **options: Unpack[CaptureOptions],
    ) -> Hold:
        """As `gate.capture`; takes the same options."""
        credits_ = self.gate.credits
        if session is not None:
            return credits_.joined(session).capture(hold_id, amount, **options)
        return self.call(credits_.capture, hold_id, amount, **options)

    def release(
        self, hold_id: str, *, session: object = None, **options: Unpack[SettleOptions]
    ) -> Hold:
        """As `gate.release`; takes the same options."""
        credits_ = self.gate.credits
        if session is not None:
            return credits_.joined(session).release(hold_id, **options)
        return self.call(credits_.release, hold_id, **options)

    def extend(
        self,
        hold_id: str,
        ttl: timedelta | None = None,
        *,
        session: object = None,
        **options: Unpack[ExtendOptions],
    ) -> Hold:
        """As `gate.extend`; takes the same options."""
        credits_ = self.gate.credits
        if session is not None:
            return credits_.joined(session).extend(hold_id, ttl, **options)
        return self.call(credits_.extend, hold_id, ttl, **options)

    def grant(
        self,
        customer: str,
        unit: str,
        amount: int,
        *,
        idempotency_key: str | None = None,
        session: object = None,
        **options: Unpack[GrantOptions],
    ) -> Grant:
        """As `gate.grant`; takes the same options."""
        if session is None:
            return self.call(
                self.gate.grant,
                customer,
                unit,
                amount,
                idempotency_key=idempotency_key,
                **options,
            )
        return self.gate.credits.joined(session).grant(
            customer, unit, manual_grant(amount, **options), idempotency_key=idempotency_key
        )

    def revoke(
        self,
        customer: str,
        unit: str,
        grant_id: str,
        *,
        reason: str,
        actor: str | None = None,
        idempotency_key: str | None = None,
        session: object = None,
    ) -> int:
        """As `gate.revoke`."""
        credits_ = self.gate.credits
        if session is not None:
            ending = revocation(grant_id, reason=reason, actor=actor)
            command = credits_.to_change(customer, unit, ending, idempotency_key)
            return lapsed_in(credits_.joined(session).carry_out(command))
        return self.call(
            self.gate.revoke,
            customer,
            unit,
            grant_id,
            reason=reason,
            actor=actor,
            idempotency_key=idempotency_key,
        )

    def set_cap(
        self,
        customer: str,
        unit: str,
        every: Every,
        limit: int | None,
        *,
        session: object = None,
        **options: Unpack[CapOptions],
    ) -> None:
        """As `gate.set_cap`; takes the same options."""
        credits_ = self.gate.credits
        if session is None:
            self.call(credits_.set_cap, customer, unit, every, limit, **options)
        else:
            command = credits_.to_cap(customer, unit, every, limit, **options)
            credits_.joined(session).carry_out(command)

    def find_hold(self, hold_id: str, *, customer: str | None = None) -> Hold:
        """As `gate.hold`: a hold as it is now."""
        return self.call(self.gate.hold, hold_id, customer=customer)

    def open_holds(self, customer: str, unit: str) -> Sequence[Hold]:
        """As `gate.open_holds`."""
        return self.call(self.gate.open_holds, customer, unit)

    def balance(self, customer: str, unit: str) -> Balance:
        """As `gate.balance`."""
        return self.call(self.gate.balance, customer, unit)

    def balances(self, customer: str) -> Sequence[Balance]:
        """As `gate.balances`."""
        return self.call(self.gate.balances, customer)
