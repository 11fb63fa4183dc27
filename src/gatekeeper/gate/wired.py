"""What every part of the gate stands on: the wired parts, and what is registered on it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from starlette.requests import HTTPConnection

from gatekeeper.cache import Cache
from gatekeeper.catalog import Catalog
from gatekeeper.entitlements import Entitlements
from gatekeeper.errors import NoGateError
from gatekeeper.guards import placement
from gatekeeper.services.keeper import HoldKeeper
from gatekeeper.services.outbox import SignalRegistry
from gatekeeper.services.owned import OwnedTasks
from gatekeeper.settings import Settings
from gatekeeper.storage.port import Store
from gatekeeper.stripe.selling.disputes import DisputeDesk
from gatekeeper.stripe.selling.sellers import SellerDesk
from gatekeeper.stripe.top_ups.desk import TopUpDesk
from gatekeeper.stripe.webhooks import WebhookRegistry
from gatekeeper.telemetry import Telemetry, telemetry_of_process
from gatekeeper.types import Clock, Identity
from gatekeeper.wiring import Parts, assemble, back_office_of

Who = Identity | str | None
Identify = Callable[[HTTPConnection], Awaitable[Who] | Who]


class Wired:
    """The parts of one gate."""

    def __init__(
        self,
        catalog: Catalog,
        settings: Settings | None = None,
        *,
        store: Store | None = None,
        cache: Cache[Entitlements] | None = None,
        clock: Clock | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self.telemetry = telemetry_of_process() if telemetry is None else telemetry
        self.catalog = catalog
        self.settings = settings or Settings.load()
        self.webhooks = WebhookRegistry()
        self.signals = SignalRegistry()
        self.upgrade_url = self.settings.upgrade_url
        self._parts: Parts = assemble(
            catalog,
            self.settings,
            self.webhooks,
            self.signals,
            store=store,
            cache=cache,
            clock=clock,
            telemetry=self.telemetry,
        )
        self.store = self._parts.store
        self.customers = self._parts.customers
        self.credits = self._parts.credits
        self.auditor = self._parts.auditor
        self.copies = self._parts.copies
        self.standing = self._parts.standing
        self.live = self._parts.live
        self.statements = self._parts.statements
        self.profiles = self._parts.profiles
        self.receiver = self._parts.receiver
        self.events = self._parts.receiver.events
        self.outbox = self._parts.deliverer
        self.orders = self._parts.orders
        self.usage = self._parts.usage
        self.transfers = self._parts.transfers
        self.reports = self._parts.reports
        self.denials = self._parts.denials
        self.tasks = OwnedTasks()
        self.back_office = back_office_of(self._parts, self.tasks)
        self.keeper = HoldKeeper(
            self.credits, self.tasks, every_seconds=self.settings.hold_ttl_seconds / 3
        )
        self.peek = self._parts.resolver.peek
        self.ask_who: Identify = _nobody_has_said
        """The host's function that tells who makes a request."""
        self._endpoints: list[placement.Endpoints] = []
        self._stack: AsyncExitStack | None = None
        self._is_connected = False
        self.loop: asyncio.AbstractEventLoop | None = None
        """The event loop on which the gate is open."""

    @property
    def disputes(self) -> DisputeDesk:
        """Answering what buyers dispute: `get`, `of_seller`, `submit`, `accept`.

        Raises:
            ConfigurationError: there is no Stripe key.
        """
        return self._parts.with_stripe.disputes

    @property
    def sellers(self) -> SellerDesk:
        """Sellers on connected accounts: `ensure`, `onboarding_link`, `login_link`, `state`.

        Raises:
            ConfigurationError: there is no Stripe key.
        """
        return self._parts.with_stripe.sellers

    @property
    def top_ups(self) -> TopUpDesk:
        """Automatic top-ups.

        Raises:
            ConfigurationError: there is no key of Stripe's.
        """
        return self._parts.with_stripe.top_ups

    @property
    def is_open(self) -> bool:
        """Whether the gate is open."""
        return self._stack is not None


def _nobody_has_said(connection: HTTPConnection) -> Who:
    raise NoGateError("Tell the gate who is asking: decorate a function with gate.identify.")
