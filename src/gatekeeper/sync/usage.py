"""Metered usage, billed in arrears."""

from datetime import datetime

from gatekeeper.stripe.meters import Compared
from gatekeeper.sync.waiting import Waiting


class UsageCalls(Waiting):
    """Recording use of the catalogue's meters."""

    def record_usage(
        self,
        customer: str,
        meter: str,
        quantity: int,
        *,
        id: str | None = None,
        at: datetime | None = None,
        session: object = None,
    ) -> str:
        """As `gate.record_usage`."""
        if session is not None:
            recorder = self.gate.usage
            return recorder.record_in(session, customer, meter, quantity, usage_id=id, at=at)
        return self.call(self.gate.record_usage, customer, meter, quantity, id=id, at=at)

    def correct_usage(
        self,
        customer: str,
        meter: str,
        quantity: int,
        *,
        id: str | None = None,
        at: datetime | None = None,
        session: object = None,
    ) -> str:
        """As `gate.correct_usage`."""
        if session is not None:
            return self.gate.usage.record_in(
                session, customer, meter, quantity, usage_id=id, at=at, correction=True
            )
        return self.call(self.gate.correct_usage, customer, meter, quantity, id=id, at=at)

    def compare_usage(self, customer: str, since: datetime, until: datetime) -> list[Compared]:
        """As `gate.compare_usage`."""
        return self.call(self.gate.compare_usage, customer, since, until)

    def customers_told(self, since: datetime, until: datetime) -> list[str]:
        """As `gate.customers_told`."""
        return self.call(self.gate.customers_told, since, until)
