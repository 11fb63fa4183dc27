"""Looking at everything: are the books right, what was used, and how somebody is forgotten."""

from gatekeeper.services.audit.auditor import Auditor
from gatekeeper.services.audit.erasure import Erased
from gatekeeper.services.audit.rebuild import Mended, MendedPage
from gatekeeper.services.audit.usage import EntryPage, UsagePage, UsageReports, UsageRow
from gatekeeper.services.audit.verify import Verified

__all__ = [
    "Auditor",
    "EntryPage",
    "Erased",
    "Mended",
    "MendedPage",
    "UsagePage",
    "UsageReports",
    "UsageRow",
    "Verified",
]
