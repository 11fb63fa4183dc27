"""What every store must do, as tests to inherit.

    pytest.register_assert_rewrite("gatekeeper.testing.conformance")  # for readable failures

    class TestMyStore(StoreConformance):
        @pytest.fixture
        async def store(self) -> AsyncIterator[Store]:
            async with MyStore(...) as store:
                yield store

The fixture `store` brings an opened store that is empty; each test has its own. The tests are
`async` and ask for the `anyio` plugin of pytest, on asyncio. They wait for nothing: whatever
depends on time is asked with an instant of the test's own, so that the store's clock does not
matter. A suite for one aggregate can be inherited by itself.
"""

from gatekeeper.testing.conformance.storage.actions import ActionConformance
from gatekeeper.testing.conformance.storage.audit import AuditConformance
from gatekeeper.testing.conformance.storage.customers import CustomerConformance
from gatekeeper.testing.conformance.storage.desk import EventDeskConformance
from gatekeeper.testing.conformance.storage.freezes import FreezeConformance
from gatekeeper.testing.conformance.storage.history import HistoryConformance
from gatekeeper.testing.conformance.storage.holds import HoldConformance
from gatekeeper.testing.conformance.storage.inbox import InboxConformance
from gatekeeper.testing.conformance.storage.ledger import LedgerConformance
from gatekeeper.testing.conformance.storage.listings import ListingConformance
from gatekeeper.testing.conformance.storage.metering import MeteringConformance
from gatekeeper.testing.conformance.storage.mirror import MirrorConformance
from gatekeeper.testing.conformance.storage.orders import OrderConformance
from gatekeeper.testing.conformance.storage.outbox import OutboxConformance
from gatekeeper.testing.conformance.storage.outgoing import RequestConformance
from gatekeeper.testing.conformance.storage.paybacks import PaybackConformance
from gatekeeper.testing.conformance.storage.payments import PaymentConformance
from gatekeeper.testing.conformance.storage.postings import PostingConformance
from gatekeeper.testing.conformance.storage.progress import ProgressConformance
from gatekeeper.testing.conformance.storage.purchases import PurchaseConformance
from gatekeeper.testing.conformance.storage.refunds import RefundConformance
from gatekeeper.testing.conformance.storage.request_keys import RequestKeyConformance
from gatekeeper.testing.conformance.storage.revenue import RevenueConformance
from gatekeeper.testing.conformance.storage.sellers import SellerConformance
from gatekeeper.testing.conformance.storage.subscriptions import SubscriptionConformance
from gatekeeper.testing.conformance.storage.survey import SurveyConformance
from gatekeeper.testing.conformance.storage.tickets import TicketConformance
from gatekeeper.testing.conformance.storage.top_ups import TopUpConformance
from gatekeeper.testing.conformance.storage.transactions import TransactionConformance
from gatekeeper.testing.conformance.storage.transfers import TransferConformance
from gatekeeper.testing.conformance.storage.values import ValueConformance

__all__ = [
    "ActionConformance",
    "AuditConformance",
    "CustomerConformance",
    "EventDeskConformance",
    "FreezeConformance",
    "HistoryConformance",
    "HoldConformance",
    "InboxConformance",
    "LedgerConformance",
    "ListingConformance",
    "MeteringConformance",
    "MirrorConformance",
    "OrderConformance",
    "OutboxConformance",
    "PaybackConformance",
    "PaymentConformance",
    "PostingConformance",
    "ProgressConformance",
    "PurchaseConformance",
    "RefundConformance",
    "RequestConformance",
    "RequestKeyConformance",
    "RevenueConformance",
    "SellerConformance",
    "StoreConformance",
    "SubscriptionConformance",
    "SurveyConformance",
    "TicketConformance",
    "TopUpConformance",
    "TransactionConformance",
    "TransferConformance",
    "ValueConformance",
]


class StoreConformance(
    ActionConformance,
    AuditConformance,
    CustomerConformance,
    EventDeskConformance,
    FreezeConformance,
    HistoryConformance,
    HoldConformance,
    InboxConformance,
    LedgerConformance,
    ListingConformance,
    MirrorConformance,
    MeteringConformance,
    OrderConformance,
    OutboxConformance,
    PaybackConformance,
    PaymentConformance,
    PostingConformance,
    ProgressConformance,
    PurchaseConformance,
    RefundConformance,
    RequestConformance,
    RequestKeyConformance,
    SellerConformance,
    RevenueConformance,
    SubscriptionConformance,
    SurveyConformance,
    TicketConformance,
    TopUpConformance,
    TransactionConformance,
    TransferConformance,
    ValueConformance,
):
    """Everything that every store must do. Provide an opened `store` as a fixture."""
