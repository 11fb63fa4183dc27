"""What the people who run the app may do, below `/admin`: for whom the host's own authorisation
names, and recorded with their reason. Without that authorisation there are no such routes."""

from collections.abc import Sequence

from gatekeeper.asgi.billing.back_office import (
    customers,
    events,
    looking,
    orders,
    outbox,
    refunds,
    revenue,
    runs,
)
from gatekeeper.asgi.billing.operations import Operation
from gatekeeper.asgi.billing.options import BillingOptions
from gatekeeper.gate import Gatekeeper

_SUBJECTS = (customers, orders, refunds, events, outbox, runs, revenue, looking)


def operations(gate: Gatekeeper, options: BillingOptions) -> Sequence[Operation]:
    """The operations of the back office."""
    return [one for subject in _SUBJECTS for one in subject.operations(gate, options)]
