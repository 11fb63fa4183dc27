"""Orders: what customers pay once, priced by the host's own function.

`quotes` is what the host says of an order, `book` writes and reads them, `payments` follows what
Stripe says of their payments.
"""

from gatekeeper.services.orders.book import (
    canceling,
    changing,
    closed,
    is_open,
    listed,
    owned,
    placing,
)
from gatekeeper.services.orders.payments import (
    attach,
    note_charge,
    note_intent,
    note_session,
    write,
)
from gatekeeper.services.orders.quotes import (
    OrderRequest,
    Pricing,
    Quote,
    check_quote,
    checked_items,
)

__all__ = [
    "OrderRequest",
    "Pricing",
    "Quote",
    "attach",
    "canceling",
    "changing",
    "check_quote",
    "checked_items",
    "closed",
    "is_open",
    "listed",
    "note_charge",
    "note_intent",
    "note_session",
    "owned",
    "placing",
    "write",
]
