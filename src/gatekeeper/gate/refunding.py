"""Giving money back."""

from gatekeeper.gate.wired import Wired
from gatekeeper.stripe.refunds import RefundDesk


class RefundMethods(Wired):
    """What has been paid, and goes back by hand."""

    @property
    def refunds(self) -> RefundDesk:
        """Refunds of payments, invoices, orders and purchases, by people, and how far each has
        come.

        Raises:
            ConfigurationError: there is no key.
        """
        return self._parts.with_stripe.refunds
