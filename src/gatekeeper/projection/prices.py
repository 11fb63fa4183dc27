"""The price of a subscription item or an invoice line, in any API version."""

from gatekeeper.projection.reading import Node


def price_of(node: Node) -> tuple[str | None, Node | None]:
    """The price's id, and the price itself where Stripe shows it.

    Since 2025-03-31 (basil) an invoice line names it in `pricing.price_details.price`; before, and
    on subscription items to this day, it is the object `price`; the oldest have a `plan` only,
    whose id is the price's (https://docs.stripe.com/billing/migration/migrate-prices).
    """
    pricing = node.maybe_node("pricing")
    details = None if pricing is None else pricing.maybe_node("price_details")
    for holder, key in ((details, "price"), (node, "price"), (node, "plan")):
        if holder is not None and holder.has(key):
            return holder.reference(key), holder.expanded(key)
    return None, None
