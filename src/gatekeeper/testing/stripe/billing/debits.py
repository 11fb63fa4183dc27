"""What the items of subscriptions were debited, for credits by what was truly debited.

Source: Stripe's page "Prorations" (credit prorations in the flexible billing mode).
"""

from decimal import ROUND_HALF_UP, Decimal

from gatekeeper.testing.stripe.billing.reductions import net
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State


def note(state: State, lines: list[Obj]) -> None:
    """Remember lines in their order: a debit stands until it is over, or until a credit has settled
    what was left of it."""
    for line in lines:
        details: Obj = (line["parent"] or {}).get("subscription_item_details") or {}
        if not details:
            continue
        debits = _of(state, details["subscription_item"])
        if details["proration"] and line["amount"] <= 0:
            debits.clear()
        elif line["amount"] > 0:
            debits[:] = [d for d in debits if d is not line and d["period"]["end"] > state.now()]
            debits.append(line)


def unused(state: State, item: Obj, at: int) -> tuple[int, Obj]:
    """What is left of an item's debits after the second `at`, in minor units, and the line's
    `proration_details`: of several invoices Stripe names one."""
    debits = _of(state, item["id"])
    exact = sum((_share(debit, at) for debit in debits), Decimal(0))
    last = debits[-1]["invoice"] if debits else None
    ids = [debit["id"] for debit in debits if debit["invoice"] == last]
    credited = {"invoice": last, "invoice_line_items": ids} if last else None
    return int(exact.quantize(Decimal(1), ROUND_HALF_UP)), {"credited_items": credited}


def _share(debit: Obj, at: int) -> Decimal:
    start, end = debit["period"]["start"], debit["period"]["end"]
    left = Decimal(max(0, end - max(at, start))) / Decimal(max(1, end - start))
    return Decimal(net(debit)) * left


def _of(state: State, item_id: str) -> list[Obj]:
    found: list[Obj] = state.store.hidden({"id": item_id}).setdefault("debits", [])
    return found
