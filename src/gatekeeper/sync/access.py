"""What a customer may use."""

from gatekeeper.entitlements import Entitlements, Explanation
from gatekeeper.services.resolver import Decision
from gatekeeper.storage.records import Customer
from gatekeeper.sync.waiting import Waiting


class AccessCalls(Waiting):
    """Questions about plans, features and limits, and who asks them."""

    def ensure_customer(
        self, customer: str, *, email: str | None = None, name: str | None = None
    ) -> Customer:
        """As `gate.customers.ensure`."""
        return self.call(self.gate.customers.ensure, customer, email=email, name=name)

    def entitlements(self, customer: str) -> Entitlements:
        """As `gate.entitlements`."""
        return self.call(self.gate.entitlements, customer)

    def allows(self, customer: str, feature: str) -> bool:
        """As `gate.allows`."""
        return self.call(self.gate.allows, customer, feature)

    def decide(self, customer: str, feature: str) -> Decision:
        """As `gate.decide`."""
        return self.call(self.gate.decide, customer, feature)

    def explain(self, customer: str) -> Explanation:
        """As `gate.explain`."""
        return self.call(self.gate.explain, customer)
