"""Keeping up with Stripe: webhooks, reconciliation, the first import."""

from gatekeeper.gate.wired import Wired
from gatekeeper.stripe.backfill import Backfill
from gatekeeper.stripe.client import StripeGateway
from gatekeeper.stripe.invoices import InvoiceDesk
from gatekeeper.stripe.moves import PriceMover
from gatekeeper.stripe.reconciliation import Reconciler
from gatekeeper.stripe.webhooks import WebhookAnswer


class SyncMethods(Wired):
    """What brings Stripe's state here."""

    @property
    def stripe(self) -> StripeGateway:
        """The connection to Stripe.

        Raises:
            ConfigurationError: there is no key.
        """
        return self._parts.with_stripe.gateway

    async def receive_webhook(self, body: bytes, signature: bytes | str | None) -> WebhookAnswer:
        """Take in what came to a route of the host's own: the exact bytes of the body, and the
        `Stripe-Signature` header. Answer with the `status`, `headers` and `body` of what is
        returned; before, bound the body by `receiver.max_body_bytes`."""
        return await self.receiver.answer(body, signature)

    @property
    def reconciler(self) -> Reconciler:
        """What finds where we differ from Stripe, and repairs it.

        Raises:
            ConfigurationError: there is no key.
        """
        return self._parts.with_stripe.reconciler

    @property
    def backfill(self) -> Backfill:
        """What takes over the customers of a Stripe account that was there before.

        Raises:
            ConfigurationError: there is no key.
        """
        return self._parts.with_stripe.backfill

    @property
    def invoices(self) -> InvoiceDesk:
        """What asks Stripe about invoices on their customers' behalf.

        Raises:
            ConfigurationError: there is no key.
        """
        return self._parts.with_stripe.invoices

    @property
    def price_mover(self) -> PriceMover:
        """What moves subscriptions to other prices, many at once.

        Raises:
            ConfigurationError: there is no key.
        """
        return self._parts.with_stripe.mover
