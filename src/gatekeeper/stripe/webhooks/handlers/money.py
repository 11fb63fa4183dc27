"""Charges with their refunds and disputes: what of a payment has gone back."""

from collections.abc import Sequence
from typing import ClassVar

from gatekeeper.projection.clawback import ChargeMoney, project_charge_money
from gatekeeper.services import clawbacks
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import InboxEvent
from gatekeeper.stripe.webhooks.handlers.context import Context, Touched
from gatekeeper.stripe.webhooks.projecting import Complete, Projector


class MoneyProjector(Projector):
    """Projects refunds, disputes and fraud warnings: whichever an event names, it is the charge
    that is looked at, with all that was taken off it, under the charge's ticket."""

    event_types: ClassVar[tuple[str, ...]] = (
        "charge.dispute.closed",
        "charge.dispute.created",
        "charge.dispute.funds_reinstated",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
        "charge.refund.updated",
        "charge.refunded",
        "refund.created",
        "refund.failed",
        "refund.updated",
    )

    def __init__(self, context: Context) -> None:
        self._context = context

    async def project(self, events: Sequence[InboxEvent], complete: Complete) -> None:
        kind, object_id = str(events[0].object_type), str(events[0].object_id)
        charge_id: str | None = object_id
        if kind != "charge":
            found = await self._context.gateway.fetch(kind, object_id)
            charge = None if found is None else found.get("charge")
            charge_id = charge["id"] if isinstance(charge, dict) else charge
        if charge_id is None:  # a refund of a balance, or an object that is gone
            await self._context.store.write(complete)
            return
        await self.refresh(charge_id, complete)

    async def refresh(self, charge_id: str, complete: Complete) -> None:
        """Bring to its target what was taken back of a charge."""
        context = self._context
        fetched = await context.fetch("charge", charge_id)
        found, money = fetched.found, None
        if found is not None:
            of = {"charge": charge_id}
            what = f"charge {charge_id}"
            refunds = await context.gateway.listed("/v1/refunds", of, what=what)
            disputes = (
                await context.gateway.listed("/v1/disputes", of, what=what)
                if found.get("disputed")
                else []
            )
            money = project_charge_money(found, refunds, disputes)

        def work(tx: Transaction) -> Touched | None:
            complete(tx)
            if money is not None and fetched.may_write(tx, terminal=False):
                return self._write(tx, money)
            return None

        await context.commit(work)

    def _write(self, tx: Transaction, money: ChargeMoney) -> Touched | None:
        before = tx.payments.get(money.payment_id)
        payment = clawbacks.note_charge(tx, self._context.rules, money)
        if payment.customer is None or (before is not None and before.shares == payment.shares):
            return None
        return Touched(payment.customer, tx.customers.touch(payment.customer))
