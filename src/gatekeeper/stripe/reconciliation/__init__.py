"""Reconciliation: find where we differ from Stripe, then repair it."""

from gatekeeper.stripe.reconciliation.reconciler import (
    ReconcilePolicy,
    Reconciler,
    RunOptions,
    logged,
)
from gatekeeper.stripe.reconciliation.report import Drift, Report

__all__ = ["Drift", "ReconcilePolicy", "Reconciler", "Report", "RunOptions", "logged"]
