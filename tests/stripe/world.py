"""A small billing world for tests: a store, a Stripe that is a dict, and a receiver on both."""

import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from gatekeeper.catalog import Catalog, Feature, Limit, Meter, Pack, Plan, Price, Unit
from gatekeeper.entitlements import Entitlements
from gatekeeper.services import accounts, customers
from gatekeeper.services.resolver import resolve
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import EventStatus, InboxEvent
from gatekeeper.stripe.client import PAGE, Account, StripeGateway
from gatekeeper.stripe.kinds import KINDS
from gatekeeper.stripe.webhooks import (
    DispatchPolicy,
    Projections,
    Projector,
    WebhookReceiver,
    WebhookRegistry,
)
from gatekeeper.testing.events import DEFAULT_SECRET, DEFAULT_START, Obj, signed

credits, exports = Unit("credits"), Unit("exports")
downloads, support = Feature("downloads"), Feature("support")
seats = Limit("seats")

CATALOG = Catalog(
    plans=[
        Plan("free", default=True, grants=[credits.once(5)]),
        Plan(
            "pro",
            includes="free",
            prices=[
                Price("pro_monthly", amount_minor=999, currency="eur", every="month"),
                Price("pro_yearly", amount_minor=9_999, currency="eur", every="year"),
            ],
            features=[downloads],
            limits={seats: seats.per_quantity()},
            grants=[
                credits.every("month", 1_000, overage=Meter("overage", event_name="ai_credits"))
            ],
            trial_days=14,
        ),
        Plan(
            "team",
            includes="pro",
            prices=[Price("team_monthly", amount_minor=2_999, currency="eur", every="month")],
            features=[support],
            grants=[credits.every("month", 5_000)],
        ),
    ],
    packs=[
        Pack(
            "credits_100",
            grants=[credits(100), exports(2)],
            price=Price("topup_100", amount_minor=500, currency="eur"),
            expires_after_days=365,
        ),
        Pack("credits_yen", grants=credits(10), price=Price("topup_yen", 500, currency="jpy")),
    ],
)
RULES = Rules(CATALOG)


class ManualClock:
    """Time that stands still until it is moved."""

    def __init__(self, now: datetime = DEFAULT_START + timedelta(hours=1)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


class FakeStripe(StripeGateway):
    """A gateway to a dict: what is in `objects` is what Stripe has now."""

    def __init__(self, *objects: Obj) -> None:
        super().__init__("sk_test_fake")
        self.objects: dict[tuple[str, str], Obj] = {}
        self.elsewhere: dict[str, dict[tuple[str, str], Obj]] = {}
        """What connected accounts have that is not what we have under the same id."""
        self.fetches: list[tuple[str, str]] = []
        self.account_id = "acct_1"
        self.failure: Exception | None = None
        self.during_fetch: Callable[[str], Awaitable[None]] | None = None
        self.put(*objects)

    def put(self, *objects: Obj, account: str | None = None) -> None:
        """Set what Stripe has, or a connected account."""
        held = self.objects if account is None else self.elsewhere.setdefault(account, {})
        for obj in objects:
            held[obj["object"], obj["id"]] = obj

    def remove(self, obj: Obj) -> None:
        """Delete something at Stripe, without a trace."""
        del self.objects[obj["object"], obj["id"]]

    async def fetch(
        self, object_type: str, object_id: str, *, account: str | None = None
    ) -> Obj | None:
        self.fetches.append((object_type, object_id))
        if self.failure is not None:
            raise self.failure
        held = self.elsewhere.get(account or "", self.objects)
        found = copy.deepcopy(held.get((object_type, object_id)))
        if self.during_fetch is not None:
            await self.during_fetch(object_id)
        return found

    async def listed(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        what: str,
        account: str | None = None,
    ) -> list[Obj]:
        if self.failure is not None:
            raise self.failure
        kind = path.removeprefix("/v1/").removesuffix("s")
        wanted = {name: value for name, value in (params or {}).items() if name != "expand"}
        return [
            copy.deepcopy(obj)
            for (object_type, _), obj in reversed(self.objects.items())
            if object_type == kind and wanted.items() <= obj.items()
        ]

    async def pages(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        what: str,
        account: str | None = None,
    ) -> AsyncIterator[Sequence[Obj]]:
        """All objects of a kind; filters are not looked at."""
        kind = next(name for name, kind in KINDS.items() if kind.path == path)
        listed = [copy.deepcopy(obj) for (of, _), obj in self.objects.items() if of == kind]
        for start in range(0, len(listed), PAGE):
            yield listed[start : start + PAGE]

    async def account(self) -> Account:
        if self.failure is not None:
            raise self.failure
        return Account(self.account_id, self.livemode)


@dataclass
class World:
    """Everything that a test of webhooks needs."""

    store: Store
    clock: ManualClock
    stripe: FakeStripe = field(default_factory=FakeStripe)
    registry: WebhookRegistry = field(default_factory=WebhookRegistry)
    rules: Rules = RULES
    policy: DispatchPolicy = field(default_factory=DispatchPolicy)
    invalidated: list[tuple[str, int]] = field(default_factory=list)
    _receiver: WebhookReceiver | None = None

    async def _invalidate(self, customer: str, version: int) -> None:
        self.invalidated.append((customer, version))

    @property
    def projections(self) -> Projections:
        return Projections(self.stripe, self.store, self.rules, self._invalidate)

    @property
    def receiver(self) -> WebhookReceiver:
        """The receiver; the first use fixes the policy and the projectors."""
        if self._receiver is None:
            self._receiver = self.new_receiver()
        return self._receiver

    def new_receiver(
        self, *, projectors: dict[str, Projector] | None = None, **options: Any
    ) -> WebhookReceiver:
        """Another process on the same database."""
        settings: dict[str, Any] = {
            "livemode": False,
            "policy": self.policy,
            "clock": self.clock,
            "projectors": self.projections.by_type if projectors is None else projectors,
        }
        return WebhookReceiver(
            self.registry, self.store, [DEFAULT_SECRET], **{**settings, **options}
        )

    async def customer(self, customer: str = "org_1", stripe_id: str | None = "cus_1") -> None:
        """Make a host's customer whom Stripe knows."""

        def work(tx: Transaction) -> None:
            row = customers.ensure(tx, customer)
            if stripe_id is not None:
                tx.customers.save(replace(row, stripe_id=stripe_id))

        await self.store.write(work)

    async def send(self, *events: Obj) -> list[bool]:
        """Receive events, without dispatching them."""
        return [await self.receiver.receive(*signed(event, at=self.clock.now)) for event in events]

    async def deliver(self, *events: Obj) -> None:
        """Receive events one after the other, dispatching each before the next comes."""
        for event in events:
            await self.send(event)
            await self.receiver.drain()

    async def entitlements(self, customer: str = "org_1") -> Entitlements:
        return await self.store.read(lambda tx: resolve(tx, self.rules, customer))

    async def available(self, unit: str = "credits", customer: str = "org_1") -> int:
        balance = await self.store.read(lambda tx: accounts.balance(tx, self.rules, customer, unit))
        assert balance.available is not None
        return balance.available

    async def spend(self, quantity: int, customer: str = "org_1", hold: str = "hold_1") -> None:
        """Use credits, which writes all that is due."""

        def work(tx: Transaction) -> None:
            request = accounts.ReserveRequest(
                customer=customer, name="credits", quantity=quantity, hold_id=hold
            )
            accounts.reserve(tx, self.rules, request)
            accounts.capture(tx, RULES, hold, customer=customer)

        await self.store.write(work)

    async def version(self, customer: str = "org_1") -> int:
        row = await self.store.read(lambda tx: tx.customers.get(customer))
        assert row is not None
        return row.version

    async def status_of(self, event: Obj) -> EventStatus:
        return (await self.stored(event)).status

    async def stored(self, event: Obj) -> InboxEvent:
        key = f"{event.get('account', '')}/{event['id']}"
        found = await self.store.read(lambda tx: tx.inbox.get(key))
        assert found is not None
        return found

    async def counts(self) -> dict[EventStatus, int]:
        return await self.store.read(lambda tx: tx.inbox.counts())
