"""The command that makes a hold."""

from collections.abc import Collection, Iterable
from typing import Any

from gatekeeper.catalog import ResolvedCost
from gatekeeper.errors import ConflictError
from gatekeeper.ledger import Hold, Receipt, Reserve, paths_of
from gatekeeper.services.ledger.commands.base import Command, Holds, hold_of
from gatekeeper.services.ledger.commands.holds import ReleaseCommand
from gatekeeper.services.ledger.desk import Desk
from gatekeeper.services.ledger.reserving import ReserveRequest, earlier_hold
from gatekeeper.services.ledger.room import Room
from gatekeeper.services.rules import Rules
from gatekeeper.types import check_amount, check_id


class ReserveCommand(Command[Hold]):
    """Make a hold, or return the one that the same request has made before.

    Raises:
        UnknownNameError: the catalogue has no such unit or cost: refused, never free.
        InvalidAmountError, InvalidIdError: see `ReserveRequest.check`.
    """

    needs_holds = False

    def __init__(self, rules: Rules, request: ReserveRequest) -> None:
        request.check()
        check_id(request.customer, "customer")
        if isinstance(request.quantity, int):
            check_amount(request.quantity, "The quantity")
        self._cost = rules.catalog.cost_of(request.name)
        self._listed = self._cost.resolve(request.quantity)
        self.key = (request.customer, self._cost.unit_key)
        self._request = request
        self._has_made = False
        self.is_quick = request.idempotency_key is None and not request.scope

    @property
    def hold_keys(self) -> Collection[tuple[str, str]]:
        return () if self._request.has_new_id else ((self.key[0], self._request.hold_id),)

    @property
    def receipt_keys(self) -> Collection[tuple[str, str]]:
        key = self._request.idempotency_key
        return () if key is None else ((self.key[0], key),)

    def scopes(self, holds: Holds) -> Iterable[str]:
        return paths_of(self._request.scope)

    def undo(self, result: object) -> Command[Any] | None:
        request = self._request
        if not self._has_made:
            return None  # it is the hold of an earlier, equal request, even if it has the same id
        if request.idempotency_key is not None and not request.once:
            return None  # a retry may have been given the hold; if none comes, it expires
        return ReleaseCommand(self.key, request.hold_id)

    def decide(self, room: Room) -> Hold:
        """As the class says.

        Raises:
            CreditsRequiredError, DebtOutstandingError: see the engine.
            IdempotencyConflictError, AlreadySettledError: the key was used before.
            CustomerNotFoundError: the customer was deleted.
        """
        self._has_made = False  # it may have been decided before, and not written
        request, desk = self._request, room.desk(self.key)
        if request.idempotency_key is not None:
            earlier = earlier_hold(room, desk, request, request.idempotency_key)
            if earlier is not None:
                return earlier
        desk.check_living()
        if room.is_taken(desk, request.hold_id):
            raise ConflictError(
                f"There was a hold {request.hold_id!r} before.", hold=request.hold_id
            )
        cost = self._priced(desk)
        change = desk.apply(
            Reserve(
                hold_id=request.hold_id,
                amount=cost.amount,
                expires_at=desk.now + (request.ttl or room.rules.hold_ttl),
                partial=request.partial,
                cost_numerator=cost.numerator,
                cost_denominator=cost.denominator,
                formula=cost.formula,
                actor=request.actor,
                feature=request.feature or cost.key,
                reference=request.reference,
                scope=request.scope,
                metadata=request.metadata,
            )
        )
        hold = hold_of(change)
        self._has_made = True
        if request.idempotency_key is not None:
            room.put_receipt(
                desk,
                Receipt(
                    request.customer,
                    request.idempotency_key,
                    request.fingerprint(),
                    hold.id,
                    desk.now,
                ),
            )
        return hold

    def _priced(self, desk: Desk) -> ResolvedCost:
        """The price by the customer's own rates, which are known once the account is."""
        fresh = desk.account.fresh
        if fresh is None or not fresh.formulas:
            return self._listed
        return self._cost.resolve(self._request.quantity, fresh.formulas)
