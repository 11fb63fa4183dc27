"""All of the faults."""

from typing import Final

from tests.faults.batches import BATCH_FAULTS
from tests.faults.billing import BILLING_FAULTS
from tests.faults.fault import Fault
from tests.faults.joining import JOINING_FAULTS
from tests.faults.ledger_grants import GRANT_FAULTS
from tests.faults.ledger_holds import HOLD_FAULTS
from tests.faults.ledger_rules import RULE_FAULTS
from tests.faults.money import MONEY_FAULTS
from tests.faults.posting import POSTING_FAULTS
from tests.faults.services import SERVICE_FAULTS
from tests.faults.storage import STORAGE_FAULTS
from tests.faults.webhooks import WEBHOOK_FAULTS

EVERY_FAULT: Final[tuple[Fault, ...]] = (
    *GRANT_FAULTS,
    *HOLD_FAULTS,
    *RULE_FAULTS,
    *SERVICE_FAULTS,
    *BATCH_FAULTS,
    *STORAGE_FAULTS,
    *POSTING_FAULTS,
    *JOINING_FAULTS,
    *WEBHOOK_FAULTS,
    *MONEY_FAULTS,
    *BILLING_FAULTS,
)
