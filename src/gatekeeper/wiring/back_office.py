"""Making the back office of a gate."""

from gatekeeper.services.back_office.customers import CustomerDesk
from gatekeeper.services.back_office.revenue import RevenueDesk
from gatekeeper.services.owned import OwnedTasks
from gatekeeper.stripe.back_office import (
    BackOffice,
    EventActions,
    OutboxActions,
    Reconciliations,
)
from gatekeeper.wiring.parts import Parts


def back_office_of(parts: Parts, tasks: OwnedTasks) -> BackOffice:
    """The back office, whose long work is done by `tasks`."""

    return BackOffice(
        parts.store,
        customers=CustomerDesk(parts.store, parts.rules, parts.resolver.invalidate, parts.auditor),
        events=EventActions(parts.store, parts.receiver.events),
        outbox=OutboxActions(parts.store, parts.deliverer),
        reconciliations=Reconciliations(
            parts.store, lambda: parts.with_stripe.reconciler, tasks.leave
        ),
        revenue=RevenueDesk(parts.store, parts.rules),
        health=parts.health,
        refunds=lambda: parts.with_stripe.refunds,
    )
