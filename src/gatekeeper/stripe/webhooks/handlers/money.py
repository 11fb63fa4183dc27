"""Charges with their refunds and disputes: what of a payment has gone back."""

from collections.abc import Sequence
from typing import ClassVar, Final

from gatekeeper.projection.clawback import ChargeMoney, project_charge_money
from gatekeeper.projection.mirrored import Mirrored, project_copies, project_mirrored
from gatekeeper.projection.orders import OVER
from gatekeeper.projection.reading import Node
from gatekeeper.services import clawbacks, freezes, orders, plan_returns, sales, velocity
from gatekeeper.services.history import Because, note_change
from gatekeeper.services.mirror import bury_object, save_object, save_objects
from gatekeeper.services.subscriptions import owner_of
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import InboxEvent
from gatekeeper.stripe.webhooks.handlers.context import Context, Touched
from gatekeeper.stripe.webhooks.handlers.mirror import MirrorProjector
from gatekeeper.stripe.webhooks.projecting import Complete, Projector

WARNING: Final = "radar.early_fraud_warning"


class MoneyProjector(Projector):
    """Projects refunds, disputes and fraud warnings: whichever an event names, it is the charge
    that is looked at, with all that was taken off it, under the charge's ticket."""

    event_types: ClassVar[tuple[str, ...]] = (
        "charge.captured",
        "charge.dispute.closed",
        "charge.dispute.created",
        "charge.dispute.funds_reinstated",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
        "charge.expired",
        "charge.failed",
        "charge.pending",
        "charge.refund.updated",
        "charge.refunded",
        "charge.succeeded",
        "charge.updated",
        "radar.early_fraud_warning.created",
        "radar.early_fraud_warning.updated",
        "refund.created",
        "refund.failed",
        "refund.updated",
    )

    def __init__(self, context: Context) -> None:
        self._context = context
        self._intents = MirrorProjector(context, "payment_intent", orders.note_intent)

    async def project(self, events: Sequence[InboxEvent], complete: Complete) -> None:
        kind, object_id = str(events[0].object_type), str(events[0].object_id)
        charge_id: str | None = object_id
        shown = None
        if kind != "charge":
            await self._context.stamp.confirm()
            found = await self._context.gateway.fetch(kind, object_id)
            charge = None if found is None else found.get("charge")
            charge_id = charge["id"] if isinstance(charge, dict) else charge
        if charge_id is None:
            await self._leave(kind, object_id, complete)
            return
        if kind == WARNING and found is not None:
            shown = project_mirrored(found, WARNING)
        because = Because("payment", events[-1].key)
        await self.refresh(charge_id, complete, warning=shown, because=because)

    async def refresh(
        self,
        charge_id: str,
        complete: Complete,
        *,
        warning: Mirrored | None = None,
        because: Because = Because("payment"),  # noqa: B008 - immutable
    ) -> None:
        """Bring to its target what was taken back of a charge. `warning` is an early fraud warning
        of it."""
        context = self._context
        fetched = await context.fetch("charge", charge_id)
        found, money = fetched.found, None
        copies = []
        if found is not None:
            of = {"charge": charge_id}
            what = f"charge {charge_id}"
            both = ("balance_transaction", "failure_balance_transaction")
            more = {**of, "expand": [f"data.{name}" for name in both]}
            refunds = await context.gateway.listed("/v1/refunds", more, what=what)
            disputes = (
                await context.gateway.listed("/v1/disputes", of, what=what)
                if found.get("disputed")
                else []
            )
            money = project_charge_money(found, refunds, disputes)
            # The charge comes first: by it, the others are known to be its customer's.
            copies = [
                copy
                for one in (found, *refunds, *disputes)
                for copy in project_copies(one, one["object"])
            ]

        invoice_id = None if money is None else await self._invoice_of(money)
        if money is not None and money.returned_minor:
            await self._look_at_order(money.payment_id)
        stamp = await context.stamp.confirm()

        def work(tx: Transaction) -> Touched | None:
            complete(tx)
            is_latest = fetched.may_write(tx, terminal=False)
            if money is None:
                if is_latest:
                    bury_object(tx, "charge", charge_id, tx.now())
                return None
            concerned = self._lock(tx, money, invoice_id)
            # That there is a warning is true whatever was fetched when.
            name = None if warning is None else warning.id
            touched = self._freeze(tx, money, name, is_latest=is_latest)
            if not is_latest:
                return touched
            save_objects(tx, copies, tx.now())
            if warning is not None:
                save_object(tx, warning, tx.now())
            touched = self._check_velocity(tx, money) or touched
            if concerned:
                clawbacks.note_charge(tx, context.rules, stamp, money, invoice_id)
            orders.note_charge(tx, money, tx.now())
            sales.note_charge(tx, context.rules, money)
            if invoice_id is not None:
                returned = plan_returns.note_invoice(tx, context.rules, invoice_id)
                if returned is not None:
                    touched = Touched(*returned)
                    _note(tx, invoice_id, because)
            return touched

        await context.commit(work)

    async def _leave(self, kind: str, object_id: str, complete: Complete) -> None:
        """Copy what is of no charge (the refund of a balance, say), or note that it is gone; under
        a ticket of its own, since there is no charge whose ticket would keep the order."""
        fetched = await self._context.fetch(kind, object_id)
        seen = () if fetched.found is None else project_copies(fetched.found, kind)

        def work(tx: Transaction) -> None:
            complete(tx)
            if not fetched.may_write(tx, terminal=False):
                return
            if seen:
                save_objects(tx, seen, tx.now())
            else:
                bury_object(tx, kind, object_id, tx.now())

        await self._context.store.write(work)

    def _lock(self, tx: Transaction, money: ChargeMoney, invoice_id: str | None) -> bool:
        """Take the locks that are needed, in the order in which everybody takes them: tickets,
        subscription, payments, customer, accounts. Returns whether there is anything of the payment
        to note: a charge of which nothing was captured, as one that failed, says nothing of its
        payment."""
        if invoice_id is not None:
            tx.inbox.take_ticket(self._context.key("invoice", invoice_id))
        bill = None if invoice_id is None else tx.subscriptions.invoice(invoice_id)
        if bill is not None and bill.subscription_id is not None:
            tx.mirror.lock(bill.subscription_id)
        known = tx.payments.get(money.payment_id)
        if not money.amount_minor or (known is None and not money.returned_minor):
            return False
        tx.payments.lock(money.payment_id)
        if bill is not None:
            plan_returns.lock(tx, bill.customer)
        return True

    async def _look_at_order(self, payment_id: str) -> None:
        """See that an order is known to be paid before what of it goes back is shared out."""

        def is_open(tx: Transaction) -> bool:
            payment = tx.orders.payment(payment_id)
            return payment is not None and payment.status not in OVER

        if await self._context.store.read(is_open):
            await self._intents.refresh(payment_id)

    async def _invoice_of(self, money: ChargeMoney) -> str | None:
        """The invoice that a charge has paid, if anything was ever taken off the charge.

        Since 2025-03-31 (basil) neither a charge nor a payment intent names its invoice: an invoice
        payment does (https://docs.stripe.com/changelog/basil/2025-03-31/add-support-for-multiple-partial-payments-on-invoices).
        """
        known = await self._context.store.read(lambda tx: tx.payments.get(money.payment_id))
        if known is not None and (known.invoice_id is not None or known.shares):
            return known.invoice_id
        if not money.returned_minor or money.payment_id == money.id:
            return None
        found = await self._context.gateway.listed(
            "/v1/invoice_payments",
            {"payment": {"type": "payment_intent", "payment_intent": money.payment_id}},
            what=f"payment {money.payment_id}",
        )
        named = sorted(Node.root(one, "invoice_payment").reference("invoice") for one in found)
        return named[0] if named else None

    def _check_velocity(self, tx: Transaction, money: ChargeMoney) -> Touched | None:
        owner = owner_of(tx, money.customer, None) if self._context.rules.velocity else None
        if owner is None or owner.deleted_at is not None:
            return None
        version = velocity.check(tx, self._context.rules, owner.id)
        return None if version is None else Touched(owner.id, version)

    def _freeze(
        self, tx: Transaction, money: ChargeMoney, warning: str | None, *, is_latest: bool
    ) -> Touched | None:
        """Freeze the customer's credits, or free them, by the declared policy."""
        policy = self._context.rules.freezes
        owner = owner_of(tx, money.customer, None)
        known = tx.payments.get(money.payment_id)
        if owner is None and known is not None and known.customer is not None:
            owner = tx.customers.get(known.customer)
        if owner is None or owner.deleted_at is not None:
            return None  # who was deleted spends nothing any more
        customer = owner.id
        version: int | None = None
        if warning is not None and policy.on_fraud_warning:
            reason = f"an early fraud warning of payment {money.payment_id}"
            version = freezes.freeze(tx, customer, f"{WARNING}/{warning}", reason)
        if is_latest and policy.on_dispute:
            for dispute in money.open_disputes:
                reason = f"a dispute of payment {money.payment_id}"
                done = freezes.freeze(tx, customer, f"dispute/{dispute}", reason)
                version = done or version
        if is_latest and policy.lift_when_won:
            for dispute in money.won_disputes:
                key = f"dispute/{dispute}"
                version = freezes.unfreeze(tx, customer, "stripe", key=key) or version
        return None if version is None else Touched(customer, version)


def _note(tx: Transaction, invoice_id: str, because: Because) -> None:
    """Note in its subscription's history that an invoice buys less, or more again."""
    bill = tx.subscriptions.invoice(invoice_id)
    assert bill is not None  # something of it was just changed
    if bill.subscription_id is not None:
        note_change(tx, bill.subscription_id, because, tx.now())
