"""The audit: books that can be verified, reports, and erasure."""

from gatekeeper.testing.conformance.storage.audit.books import BooksConformance
from gatekeeper.testing.conformance.storage.audit.erasure import ErasureConformance
from gatekeeper.testing.conformance.storage.audit.reports import ReportConformance

__all__ = ["AuditConformance"]


class AuditConformance(BooksConformance, ReportConformance, ErasureConformance):
    """What every store must do with its audit. Provide an opened `store` as a fixture."""
