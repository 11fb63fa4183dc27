"""Faults in the billing API and in what it stands on: orders, top-ups, refunds, live events."""

from typing import Final

from tests.faults.fault import Fault

SAFETY: Final = "tests/asgi/billing/test_safety.py::"
OWNERS: Final = "tests/asgi/billing/test_owners.py::"
DENIALS: Final = "tests/asgi/billing/back_office/test_denials.py::"
ORDERS: Final = "tests/projection/test_orders.py::"
ORDERS_API: Final = "tests/asgi/orders/test_orders.py::"
TOPPING_UP: Final = "tests/test_topping_up.py::"

BILLING_FAULTS: Final = (
    # -- what holds for every operation -----------------------------------------------------------
    Fault(
        name="other-sites-may-write",
        breaks="a page of another site changes nothing",
        file="asgi/billing/origins.py",
        source="    if not fine:\n",
        wrong="    if fine is None:\n",
        tests=(f"{SAFETY}test_pages_of_other_sites_change_nothing",),
    ),
    Fault(
        name="same-site-is-same-origin",
        breaks="a neighbouring site is another site",
        file="asgi/billing/origins.py",
        source='_FROM_HERE = ("same-origin", "none")',
        wrong='_FROM_HERE = ("same-origin", "same-site", "none")',
        tests=(f"{SAFETY}test_pages_of_other_sites_change_nothing",),
    ),
    Fault(
        name="origin-null-passes",
        breaks="without the browser's word on the site, the origin has to be ours",
        file="asgi/billing/origins.py",
        source="        fine = origin is None or origin == options.own_origin(request)\n",
        wrong='        fine = origin in (None, "null") or origin == options.own_origin(request)\n',
        tests=(f"{SAFETY}test_pages_of_other_sites_change_nothing",),
    ),
    Fault(
        name="sent-back-anywhere",
        breaks="people are sent back to where the host allows",
        file="asgi/billing/options.py",
        source="not in (own, *self.origins):\n",
        wrong="is None:\n",
        tests=(f"{SAFETY}test_people_are_sent_back_to_where_the_host_allows",),
    ),
    Fault(
        name="a-backslash-is-no-slash",
        breaks="a backslash leads elsewhere in browsers",
        file="asgi/billing/options.py",
        source='        if "\\\\" in wanted or ',
        wrong="        if ",
        tests=(f"{SAFETY}test_people_are_sent_back_to_where_the_host_allows",),
    ),
    Fault(
        name="a-key-for-two-requests",
        breaks="a key is for one request",
        file="asgi/billing/keys.py",
        source="        if used.key.body_hash != body_hash:\n",
        wrong="        if not used.key.body_hash:\n",
        tests=(f"{SAFETY}test_one_key_is_for_one_request",),
    ),
    Fault(
        name="a-key-of-everybody-s",
        breaks="a key is its customer's own",
        file="asgi/billing/keys.py",
        source="        scope = (operation.audience, operation.name, who, client_key)\n",
        wrong="        scope = (operation.audience, operation.name, client_key)\n",
        tests=(f"{SAFETY}test_one_key_is_for_one_request",),
    ),
    Fault(
        name="a-refusal-keeps-the-key",
        breaks="a refused request leaves its key free",
        file="asgi/billing/answering.py",
        source="            if used is not None and error.status < 500:\n",
        wrong="            if used is not None and error.status < 400:\n",
        tests=(f"{SAFETY}test_a_request_that_was_refused_by_its_work_leaves_its_key_free",),
    ),
    Fault(
        name="nobody-is-counted",
        breaks="who asks too often is refused",
        file="asgi/billing/answering.py",
        source="        await self._limiter.check(operation, request, who)\n",
        wrong="",
        tests=(f"{SAFETY}test_who_asks_too_often_is_told_when_to_come_again",),
    ),
    Fault(
        name="all-are-counted-together",
        breaks="requests are counted for each customer",
        file="asgi/billing/rate_limits.py",
        source="        counted = (kind, operation.audience, who)\n",
        wrong="        counted = (kind, operation.audience)\n",
        tests=(f"{SAFETY}test_who_asks_too_often_is_told_when_to_come_again",),
    ),
    Fault(
        name="anybody-is-the-office",
        breaks="whom the host does not name is refused in the back office",
        file="asgi/billing/answering.py",
        source="        if not isinstance(actor, str):\n",
        wrong="        if actor is None and authorise is None:\n",
        tests=(f"{DENIALS}test_whom_the_host_does_not_name_is_refused_everywhere",),
    ),
    Fault(
        name="an-office-without-a-door",
        breaks="without the host's authorisation there is no back office",
        file="asgi/billing/routes.py",
        source='one.audience != "back_office" or options.back_office',
        wrong='one.audience != "back_office" or not options.back_office',
        tests=(f"{DENIALS}test_without_the_hosts_authorisation_there_are_no_such_routes",),
    ),
    # -- orders -----------------------------------------------------------------------------------
    Fault(
        name="any-amount-pays",
        breaks="a payment of another amount pays no order",
        file="projection/orders.py",
        source="        and payment.amount_minor == terms.amount_minor\n",
        wrong="",
        tests=(f"{ORDERS}test_every_combination_of_what_is_known_of_one_payment",),
    ),
    Fault(
        name="any-currency-pays",
        breaks="a payment in another currency pays no order",
        file="projection/orders.py",
        source="        and payment.currency == terms.currency\n",
        wrong="",
        tests=(f"{ORDERS}test_every_combination_of_what_is_known_of_one_payment",),
    ),
    Fault(
        name="a-faulty-payment-pays",
        breaks="another customer's payment pays no order",
        file="projection/orders.py",
        source="        payment.fault is None\n        and payment.currency",
        wrong="        payment.currency",
        tests=(f"{ORDERS}test_every_combination_of_what_is_known_of_one_payment",),
    ),
    Fault(
        name="what-was-held-is-paid",
        breaks="money that is held has not been paid",
        file="projection/orders.py",
        source='if one.status == "succeeded" and one.received_minor > 0]',
        wrong='if one.status in ("succeeded", "requires_capture")]',
        tests=(f"{ORDERS}test_every_combination_of_what_is_known_of_one_payment",),
    ),
    Fault(
        name="a-part-is-all",
        breaks="an order is refunded when all of it has gone back",
        file="projection/orders.py",
        source="        is_gone = returned == paying.received_minor\n",
        wrong="        is_gone = returned > 0\n",
        tests=(f"{ORDERS}test_a_part_that_was_captured_pays_and_is_refunded_as_such",),
    ),
    Fault(
        name="paid-orders-are-changed",
        breaks="an order that is paid, or is being paid, is not priced anew",
        file="services/orders/book.py",
        source=(
            "        if not is_open(known):\n            raise closed(known)\n"
            "        wanted = priced(known, quote, items)\n"
        ),
        wrong="        wanted = priced(known, quote, items)\n",
        tests=("tests/stripe/test_orders.py", "tests/asgi/orders/test_orders.py"),
    ),
    # -- automatic top-ups ------------------------------------------------------------------------
    Fault(
        name="two-payments-at-once",
        breaks="one top-up is paid at a time",
        file="topping_up/steps.py",
        source=(
            "    if top_up.state is TopUpState.PAYING:\n"
            "        return replace(top_up, due_at=now + LEASE)\n"
        ),
        wrong="",
        tests=(f"{TOPPING_UP}test_whatever_happens_in_whatever_state",),
    ),
    Fault(
        name="a-breaker-that-never-holds",
        breaks="after declines nothing is tried until something changes",
        file="topping_up/steps.py",
        source=(
            "    if is_broken(top_up) and seen.card_mark in (None, top_up.card_mark):\n"
            "        return replace(top_up, due_at=None)\n"
        ),
        wrong="",
        tests=(f"{TOPPING_UP}test_a_hard_decline_blocks_at_once", TOPPING_UP.rstrip(":")),
    ),
    Fault(
        name="a-wait-cut-short",
        breaks="agreeing again does not shorten the wait after a decline",
        file="topping_up/steps.py",
        source=(
            "    if waits_after_decline(before, now):\n"
            "        return replace(after, state=TopUpState.DUE)\n"
        ),
        wrong="",
        tests=(
            f"{TOPPING_UP}test_what_the_customer_changes_does_not_shorten_the_wait_after_a_decline",
        ),
    ),
    Fault(
        name="spent-without-counting",
        breaks="what is being paid counts to the month's cap",
        file="topping_up/steps.py",
        source="        spent_minor=rolled.spent_minor + amount,\n        paying_minor=amount,\n",
        wrong="        paying_minor=amount,\n",
        tests=(TOPPING_UP.rstrip(":"),),
    ),
)
