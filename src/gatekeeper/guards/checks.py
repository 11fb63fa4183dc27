"""What a guard demands of a request, as values: checked against the catalogue, then enforced."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from gatekeeper.catalog import Catalog, Measures
from gatekeeper.errors import (
    FeatureRequiredError,
    PlanRequiredError,
    StoreUnavailableError,
)
from gatekeeper.guards.request import RequestState
from gatekeeper.services.credit_options import reserve_request
from gatekeeper.services.denials import tell_denial
from gatekeeper.types import check_amount

if TYPE_CHECKING:
    from gatekeeper.gate import Gatekeeper

Quantity = Measures | Callable[[HTTPConnection], Measures | Awaitable[Measures]]
"""How much: a whole number, or a function of the request."""

CREDITS = "credits"
"""The unit that `consumes_credits` spends."""


class Check(ABC):
    """One demand."""

    __slots__ = ()

    @abstractmethod
    def validate(self, catalog: Catalog) -> None:
        """Raise UnknownNameError or InvalidAmountError if the catalogue can't meet the demand."""

    def passes(self, gate: "Gatekeeper", customer: str) -> bool:
        """Whether the customer may pass by what this process knows, without I/O.

        This is the path of every request. False decides nothing: `enforce` does.
        """
        return False

    @abstractmethod
    async def enforce(self, request: RequestState) -> None:
        """Let the request pass, or raise the error that says what it lacks."""


@dataclass(frozen=True, slots=True)
class PlanCheck(Check):
    """The customer has this plan, or one that includes it."""

    plan: str

    def validate(self, catalog: Catalog) -> None:
        catalog.plan(self.plan)

    def passes(self, gate: "Gatekeeper", customer: str) -> bool:
        held = gate.peek(customer)
        return held is not None and self.plan in held.plans

    async def enforce(self, request: RequestState) -> None:
        entitlements = await request.entitlements()
        if self.plan in entitlements.plans:
            return
        error = PlanRequiredError(
            f"This needs the plan {self.plan!r}.",
            required_plan=self.plan,
            current_plans=sorted(entitlements.plans),
            sufficient_plans=sorted(request.gate.catalog.plans_satisfying(self.plan)),
        )
        tell_denial(request.gate.telemetry, error, self.plan)
        raise error


@dataclass(frozen=True, slots=True)
class FeatureCheck(Check):
    """The customer has this feature; in an outage, the feature's own policy decides."""

    feature: str

    def validate(self, catalog: Catalog) -> None:
        catalog.feature(self.feature)

    def passes(self, gate: "Gatekeeper", customer: str) -> bool:
        held = gate.peek(customer)
        return held is not None and self.feature in held.features

    async def enforce(self, request: RequestState) -> None:
        customer = (await request.identity()).customer
        decision = await request.gate.decide(customer, self.feature)
        if decision:
            return
        if decision.basis == "outage_policy":
            raise StoreUnavailableError("It can't be checked right now whether this is allowed.")
        raise FeatureRequiredError(
            f"This needs the feature {self.feature!r}.", required_feature=self.feature
        )


@dataclass(frozen=True, slots=True)
class ConsumeCheck(Check):
    """`quantity` of a unit, or of a key of the cost table, is held until the response starts."""

    name: str
    quantity: Quantity = 1

    def validate(self, catalog: Catalog) -> None:
        cost = catalog.cost_of(self.name)
        if not callable(self.quantity):
            if isinstance(self.quantity, int):
                check_amount(self.quantity, "The quantity")
            cost.resolve(self.quantity)

    async def enforce(self, request: RequestState) -> None:
        who = await request.identity()
        quantity = self.quantity
        if callable(quantity):
            counted = quantity(HTTPConnection(request.scope))
            quantity = await counted if inspect.isawaitable(counted) else counted
        wanted = reserve_request(
            who.customer,
            self.name,
            quantity,
            idempotency_key=request.idempotency_key(self.name),
            once=True,
            actor=who.actor,
            reference=request.route,
        )
        request.hold_fixed(await request.gate.keeper.make(wanted))
