"""Checkout sessions: what a purchase has come to."""

from collections.abc import Sequence
from typing import ClassVar

from gatekeeper.projection import project_checkout_session
from gatekeeper.projection.mirrored import project_mirrored
from gatekeeper.projection.reading import Node
from gatekeeper.services import orders
from gatekeeper.services.history import Because
from gatekeeper.services.mirror import save_object
from gatekeeper.services.purchases import Session, SoldLine, fulfil
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import InboxEvent
from gatekeeper.stripe.client import Obj
from gatekeeper.stripe.webhooks.handlers.context import Context, Touched, nothing
from gatekeeper.stripe.webhooks.handlers.subscription import SubscriptionProjector
from gatekeeper.stripe.webhooks.projecting import Complete, Projector

FAILED = "checkout.session.async_payment_failed"


class CheckoutProjector(Projector):
    """Projects checkout sessions, for the webhook and for the return page alike."""

    event_types: ClassVar[tuple[str, ...]] = (
        "checkout.session.async_payment_failed",
        "checkout.session.async_payment_succeeded",
        "checkout.session.completed",
        "checkout.session.expired",
    )

    def __init__(self, context: Context, subscriptions: SubscriptionProjector) -> None:
        self._context = context
        self._subscriptions = subscriptions

    async def project(self, events: Sequence[InboxEvent], complete: Complete) -> None:
        failed = any(event.type == FAILED for event in events)
        because = Because("checkout", events[-1].key)
        await self.refresh(str(events[0].object_id), complete, failed=failed, because=because)

    async def refresh(
        self,
        session_id: str,
        complete: Complete = nothing,
        *,
        failed: bool = False,
        because: Because = Because("checkout"),  # noqa: B008 - immutable
    ) -> None:
        """Fetch a session and carry out what follows from it: a pack's credits, a subscription's
        access. `failed`: Stripe has said that the delayed payment of it failed."""
        context = self._context
        fetched = await context.fetch("checkout.session", session_id)
        session = copy = None
        if fetched.found is not None:
            session = read_session(fetched.found)
            copy = project_mirrored(fetched.found, "checkout.session")
        if session is not None and session.facts.subscription_id is not None:
            await self._subscriptions.refresh(session.facts.subscription_id, because=because)
        stamp = await context.stamp.confirm()

        def work(tx: Transaction) -> Touched | None:
            complete(tx)
            if session is not None:
                facts = session.facts
                final = facts.status == "expired" or facts.is_settled
                # That the payment failed is true whatever was fetched when, and the return page's
                # newer fetch of an unpaid session could not know it.
                is_latest = fetched.may_write(tx, terminal=final)
                if is_latest and copy is not None:
                    save_object(tx, copy, tx.now())
                if is_latest or (failed and not final):
                    fulfil(tx, context.rules, stamp, session, failed=failed)
                    orders.note_session(tx, facts, tx.now())
            return None

        await context.commit(work)


def read_session(found: Obj) -> Session:
    """A session and its lines as fetched.

    Raises:
        ProjectionError: naming the place that is not as it must be.
    """
    root = Node.root(found, "checkout.session")
    return Session(
        facts=project_checkout_session(found),
        lines=tuple(_line(node) for node in root.nodes("line_items") if not _is_metered(node)),
    )


def _is_metered(node: Node) -> bool:
    """Whether a line sells no number of anything: what is used is billed later."""
    return node.maybe_whole("quantity", minimum=0) is None


def _line(node: Node) -> SoldLine:
    price = node.node("price")
    return SoldLine(
        price_id=price.word("id"),
        quantity=node.maybe_whole("quantity", minimum=0) or 0,
        unit_amount_minor=price.maybe_whole("unit_amount"),
        currency=price.maybe_word("currency"),
    )
