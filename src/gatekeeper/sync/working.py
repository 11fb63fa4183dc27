"""The work beside the requests, webhooks, and how the gate is."""

from gatekeeper.gate import WorkDone
from gatekeeper.services.health import Health
from gatekeeper.stripe.webhooks import WebhookAnswer
from gatekeeper.sync.waiting import Waiting


class WorkCalls(Waiting):
    """What keeps the gate going."""

    def receive_webhook(self, body: bytes, signature: bytes | str | None) -> WebhookAnswer:
        """As `gate.receive_webhook`."""
        return self.call(self.gate.receive_webhook, body, signature)

    def work(self) -> WorkDone:
        """As `gate.work`."""
        return self.call(self.gate.work)

    def health(self) -> Health:
        """As `gate.health`, but for a gate that is not open, which is an error here."""
        return self.call(self.gate.health)
