"""Schedules of subscriptions: their copy, and the prices of what is to come."""

from collections.abc import Sequence

from gatekeeper.services.upcoming import prices_to_come
from gatekeeper.storage.port import Transaction
from gatekeeper.stripe.client import Obj
from gatekeeper.stripe.webhooks.handlers.context import Context, nothing
from gatekeeper.stripe.webhooks.handlers.mirror import MirrorProjector
from gatekeeper.stripe.webhooks.projecting import Complete


class ScheduleProjector(MirrorProjector):
    """Projects schedules. A schedule names its prices by their ids alone; by their copies it can be
    said which plans they stand for, so those that were never seen are fetched."""

    def __init__(self, context: Context) -> None:
        super().__init__(context, "subscription_schedule")
        self._prices = MirrorProjector(context, "price")

    async def refresh(
        self, object_id: str, complete: Complete = nothing, *, account: str | None = None
    ) -> Obj | None:
        """Bring the copy of one schedule up to date."""
        found = await super().refresh(object_id, complete, account=account)
        for price_id in await self._strange(object_id, account or ""):
            await self._prices.refresh(price_id, account=account)
        return found

    async def _strange(self, object_id: str, account: str) -> Sequence[str]:
        """The prices of the schedule that were never seen."""

        def work(tx: Transaction) -> Sequence[str]:
            copy = tx.mirror.get("subscription_schedule", object_id, account)
            named = () if copy is None else prices_to_come(copy)
            return [one for one in named if tx.mirror.get("price", one, account) is None]

        return await self._context.store.read(work)
