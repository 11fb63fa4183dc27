"""What a customer may use."""

from gatekeeper.entitlements import Entitlements, Explanation
from gatekeeper.gate.wired import Wired
from gatekeeper.services.resolver import Decision


class AccessMethods(Wired):
    """Questions about plans, features and limits."""

    async def entitlements(self, customer: str) -> Entitlements:
        """Plans, features and limits; see `services.resolver`."""
        return await self._parts.resolver.entitlements(customer)

    async def allows(self, customer: str, feature: str) -> bool:
        """Whether the customer has a feature; in an outage, what the feature declares."""
        held = self.peek(customer)
        if held is not None and feature in held.features:
            return True
        return bool(await self.decide(customer, feature))

    async def decide(self, customer: str, feature: str) -> Decision:
        """As `allows`, telling on what basis."""
        return await self._parts.resolver.feature(customer, feature)

    async def explain(self, customer: str) -> Explanation:
        """The whole path by which the customer's entitlements come about."""
        return await self._parts.resolver.explain(customer)
