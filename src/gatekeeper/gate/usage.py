"""Metered usage, billed in arrears."""

from datetime import datetime

from gatekeeper.gate.wired import Wired
from gatekeeper.services.metering import UsageWindows
from gatekeeper.stripe.meters import Compared, compare, told_customers


class UsageMethods(Wired):
    """Recording use of the catalogue's meters."""

    async def record_usage(
        self,
        customer: str,
        meter: str,
        quantity: int,
        *,
        id: str | None = None,
        at: datetime | None = None,
        session: object = None,
    ) -> str:
        """Record use of a meter, to be billed in arrears; returns its id, which counts once.

        See `services.metering.UsageRecorder` for the errors.
        """
        return await self.usage.record(
            customer, meter, quantity, usage_id=id, at=at, session=session
        )

    async def correct_usage(
        self,
        customer: str,
        meter: str,
        quantity: int,
        *,
        id: str | None = None,
        at: datetime | None = None,
        session: object = None,
    ) -> str:
        """As `record_usage`, for what was recorded wrongly: `quantity` may be below zero."""
        return await self.usage.record(
            customer, meter, quantity, usage_id=id, at=at, correction=True, session=session
        )

    @property
    def usage_windows(self) -> UsageWindows:
        """The sealed windows of metered usage, for people: to see, to retry, to discard."""
        return UsageWindows(self._parts.store)

    async def customers_told(self, since: datetime, until: datetime) -> list[str]:
        """Everybody of whose usage Stripe was told anything in this time: whom to compare."""
        return await told_customers(self._parts.store, since, until)

    async def compare_usage(
        self, customer: str, since: datetime, until: datetime
    ) -> list[Compared]:
        """What Stripe was told of a customer's usage beside what it has summed up, by meter.

        Raises:
            ConfigurationError: there is no key of Stripe's.
            StripeUnavailableError, StripeRequestError.
        """
        parts = self._parts
        return await compare(
            parts.with_stripe.gateway, parts.store, self.catalog, customer, since, until
        )
