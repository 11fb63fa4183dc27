"""The back office of one gate, subject by subject."""

from gatekeeper.stripe.back_office.messages import EventActions, OutboxActions
from gatekeeper.stripe.back_office.office import BackOffice
from gatekeeper.stripe.back_office.reconciliations import Reconciliation, Reconciliations

__all__ = [
    "BackOffice",
    "EventActions",
    "OutboxActions",
    "Reconciliation",
    "Reconciliations",
]
