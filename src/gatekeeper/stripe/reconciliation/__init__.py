"""Reconciliation: find where we differ from Stripe, then repair it."""

from gatekeeper.stripe.reconciled import LastRun, last_run, reconciled_at
from gatekeeper.stripe.reconciliation.reconciler import (
    ReconcilePolicy,
    Reconciler,
    RunOptions,
    logged,
)
from gatekeeper.stripe.reconciliation.report import CopyCount, Drift, Report

__all__ = [
    "CopyCount",
    "Drift",
    "LastRun",
    "ReconcilePolicy",
    "Reconciler",
    "Report",
    "RunOptions",
    "last_run",
    "logged",
    "reconciled_at",
]
