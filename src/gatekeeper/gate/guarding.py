"""Guards: what stands before the host's handlers, and who it is that they ask about."""

from collections.abc import Callable
from typing import Any, TypeVar

from gatekeeper.gate.wired import Identify, Wired
from gatekeeper.guards import checks, decorators, placement

H = TypeVar("H", bound=Callable[..., Any])
I = TypeVar("I", bound=Identify)  # noqa: E741 -- the decorator gives back what it was given


class GuardMethods(Wired):
    """Decorators for handlers, and the check that each is where it runs."""

    def identify(self, function: I) -> I:
        """Register the function that tells who makes a request, from the host's own auth.

        It returns an `Identity`, a customer id, or None for nobody (which is a 401).
        """
        self.ask_who = function
        return function

    def requires_plan(self, plan: str) -> Callable[[H], H]:
        """Let only customers pass who have this plan or one that includes it; else a 402."""
        return self._guard(checks.PlanCheck(plan))

    def requires_feature(self, feature: str) -> Callable[[H], H]:
        """Let only customers pass who have this feature; else a 402."""
        return self._guard(checks.FeatureCheck(feature))

    def consumes(self, name: str, quantity: checks.Quantity = 1) -> Callable[[H], H]:
        """Hold `quantity` of a unit or cost before the handler runs; a 402 if it is not there."""
        return self._guard(checks.ConsumeCheck(name, quantity))

    def consumes_credits(self, cost: checks.Quantity | str) -> Callable[[H], H]:
        """Hold credits: a number, a function of the request, or a key of the cost table."""
        return self._guard(decorators.credits_check(cost))

    def watch(self, endpoints: placement.Endpoints) -> None:
        """Check the guards of these routes when the gate opens, and of routes added later."""
        self._endpoints.append(endpoints)
        if self.is_open:
            self.check_guards()

    def check_guards(self) -> None:
        """Check every route that the gate watches.

        Raises:
            GuardPlacementError: a guard never runs.
            UnknownNameError: a guard names what the catalogue does not have.
        """
        for endpoints in self._endpoints:
            routes = list(endpoints())
            placement.check_placement(routes)
            for _, endpoint in routes:
                for check in placement.checks_of(endpoint):
                    check.validate(self.catalog)

    def _guard(self, check: checks.Check) -> Callable[[H], H]:
        check.validate(self.catalog)
        return decorators.guard_with(check)
