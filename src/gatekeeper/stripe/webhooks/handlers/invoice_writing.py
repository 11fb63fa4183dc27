"""One invoice: fetched under its ticket, and written with what its paid lines have bought."""

from collections.abc import Mapping, Sequence

from gatekeeper.projection import InvoiceFacts, project_invoice
from gatekeeper.projection.mirrored import Mirrored, project_copies
from gatekeeper.services import plan_returns, subscriptions, told
from gatekeeper.services.history import Because, note_change
from gatekeeper.services.mirror import bury_object, save_objects
from gatekeeper.services.outbox.caches import outdate
from gatekeeper.services.subscriptions import ShownPrice
from gatekeeper.storage.port import Transaction
from gatekeeper.stripe.webhooks.handlers.context import Context, Ticketed, Touched, nothing
from gatekeeper.stripe.webhooks.projecting import Complete

FINAL = frozenset({"paid", "void"})
"""The statuses that an invoice never leaves
(https://docs.stripe.com/invoicing/integration/workflow-transitions)."""


async def write_invoice(context: Context, invoice_id: str, because: Because) -> None:
    """Bring one invoice up to date, without a look at its subscription."""
    fetched = await context.fetch("invoice", invoice_id)
    await commit_invoice(context, invoice_id, fetched, nothing, because=because)


async def commit_invoice(
    context: Context,
    invoice_id: str,
    fetched: Ticketed,
    complete: Complete,
    *,
    because: Because,
    failed: bool = False,
) -> None:
    """Write an invoice that has been fetched. One that is gone was a draft, which says nothing.
    `failed`: an event says that an attempt to collect it failed."""
    facts = None
    copies: Sequence[Mirrored] = ()
    if fetched.found is not None:
        facts = project_invoice(fetched.found)
        copies = project_copies(fetched.found, "invoice")
    shown = {} if facts is None else await context.shown_prices(facts, {})

    def work(tx: Transaction) -> Touched | None:
        complete(tx)
        if facts is None:
            if fetched.may_write(tx, terminal=False):
                bury_object(tx, "invoice", invoice_id, tx.now())
            return None
        may_write = fetched.may_write(tx, terminal=facts.status in FINAL)
        owner = subscriptions.owner_of(tx, facts.customer, facts.subscription_id)
        if may_write:
            save_objects(tx, copies, tx.now(), owner=owner)
        if owner is None:
            if may_write:
                context.note_stranger(facts.customer, f"invoice {facts.id}")
            return None
        touched = _write(tx, context, facts, owner.id, shown, because) if may_write else None
        if failed:  # told although somebody else may have written the invoice since the fetch
            told.of_failure(tx, facts, owner.id, tx.now())
        return touched

    await context.commit(work)


def _write(
    tx: Transaction,
    context: Context,
    facts: InvoiceFacts,
    customer: str,
    shown: Mapping[str, ShownPrice],
    because: Because,
) -> Touched | None:
    named = subscriptions_of(facts)
    for subscription_id in named:
        tx.mirror.lock(subscription_id)  # before its payments, as everywhere
    now = tx.now()
    changed = subscriptions.save_invoice(tx, context.rules, facts, customer, shown, now)
    returned = plan_returns.note_invoice(tx, context.rules, facts.id)
    if changed or returned is not None:
        for subscription_id in named:
            note_change(tx, subscription_id, because, now)
    if returned is not None:
        return Touched(*returned)
    return Touched(customer, outdate(tx, customer)) if changed else None


def subscriptions_of(facts: InvoiceFacts) -> list[str]:
    """The subscriptions that an invoice bills: one, but for those that were put together."""
    named = {facts.subscription_id, *(line.subscription_id for line in facts.lines)}
    return sorted(name for name in named if name is not None)
