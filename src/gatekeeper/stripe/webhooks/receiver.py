"""The receiver: intake, dispatcher and registry put together, for one endpoint.

It needs a store and the endpoint's signing secrets, and nothing else: without projectors it is a
durable inbox for any app's Stripe webhooks.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from gatekeeper.errors import ConfigurationError, UnavailableError, WebhookError
from gatekeeper.storage.port import Store
from gatekeeper.stripe.signature import DEFAULT_TOLERANCE_SECONDS
from gatekeeper.stripe.webhooks.answer import WebhookAnswer
from gatekeeper.stripe.webhooks.commits import IntakeLimits
from gatekeeper.stripe.webhooks.control import EventControl
from gatekeeper.stripe.webhooks.dispatcher import Dispatcher
from gatekeeper.stripe.webhooks.envelope import MAX_BODY_BYTES
from gatekeeper.stripe.webhooks.handlers import EVENT_TYPES
from gatekeeper.stripe.webhooks.intake import Intake
from gatekeeper.stripe.webhooks.policy import DispatchPolicy
from gatekeeper.stripe.webhooks.projecting import Projector
from gatekeeper.stripe.webhooks.registry import WebhookRegistry
from gatekeeper.stripe.webhooks.telling import Teller
from gatekeeper.stripe.webhooks.waking import Waking
from gatekeeper.telemetry import OFF, Telemetry
from gatekeeper.types import Clock, utc_now

logger = logging.getLogger("gatekeeper.webhooks")


class WebhookReceiver:
    """Takes events in and carries them out.

    Call `receive` from the route, and `run` in the background of that process or another
    (or `drain` from a scheduler). With `inline`, `receive` also dispatches before it returns, for
    hosts that have no background at all; what fails there is tried again by the next `receive`,
    `run` or `drain`.

    Args:
        registry: the host's handlers.
        secrets: the endpoint's signing secrets, more than one during a rotation.
        livemode: the mode of the endpoint; None accepts both.
        projectors: by the type of the object; none for a receiver without a catalogue.
        clock: checks the age of signatures.
        limits: how much may wait to be stored, and for how long.

    Raises:
        ConfigurationError: projectors without a mode: they would look for objects of the other
            mode, and not find them.
    """

    def __init__(  # noqa: PLR0913 -- all but three have a default
        self,
        registry: WebhookRegistry,
        store: Store,
        secrets: Sequence[str],
        *,
        livemode: bool | None = None,
        tolerance_seconds: int = DEFAULT_TOLERANCE_SECONDS,
        max_body_bytes: int = MAX_BODY_BYTES,
        projectors: Mapping[str, Projector] | None = None,
        policy: DispatchPolicy | None = None,
        inline: bool = False,
        clock: Clock = utc_now,
        limits: IntakeLimits | None = None,
        telemetry: Telemetry = OFF,
    ) -> None:
        if projectors and livemode is None:
            raise ConfigurationError("A receiver with projectors needs the mode of its endpoint.")
        self.registry = registry
        teller = Teller(telemetry, lambda: {*EVENT_TYPES, *registry.types})
        self.dispatcher = Dispatcher(store, registry, projectors, policy, teller)
        self.waking = Waking()
        self.events = EventControl(store, self.dispatcher, self._wake)
        self.max_body_bytes = max_body_bytes
        self._inline = inline
        self.afterwards: Callable[[], Awaitable[object]] | None = None
        """Called after each inline dispatch: what delivers what was written by it."""
        self._intake = Intake(
            store,
            secrets,
            livemode=livemode,
            tolerance_seconds=tolerance_seconds,
            max_body_bytes=max_body_bytes,
            clock=clock,
            stored=self._wake,
            limits=limits,
            teller=teller,
        )

    def _wake(self) -> None:
        """Say, here and elsewhere, that events are due."""
        self.dispatcher.nudge()
        self.waking.tell()

    async def receive(self, body: bytes, signature: bytes | str | None) -> bool:
        """Store an event; True if it is new. Answer 2xx after either, for it is committed.

        Raises:
            SignatureError, PayloadError, PayloadTooLargeError: nothing is stored; 4xx.
            OverloadedError, StoreUnavailableError: 503, and Stripe sends it again.
        """
        new = await self._intake.receive(body, signature)
        if self._inline:
            try:
                await self.dispatcher.run_once()
                if self.afterwards is not None:
                    await self.afterwards()
            except Exception:
                # The event is stored, which is what the answer to Stripe is about.
                logger.exception("dispatch was interrupted; the event waits for the next one")
        return new

    async def answer(self, body: bytes, signature: bytes | str | None) -> WebhookAnswer:
        """`receive` for a host's own route: whatever comes of it, as the answer to give.

        Raises:
            ConfigurationError: the receiver has no secrets; there is nothing to answer Stripe.
        """
        try:
            new = await self.receive(body, signature)
        except (WebhookError, UnavailableError) as error:
            return WebhookAnswer.refused(error)
        return WebhookAnswer(200, new=new)

    async def replay(self, body: bytes) -> bool:
        """Store an event that was fetched from Stripe, as `receive` does; True if it is new.

        Raises:
            PayloadError, StoreUnavailableError: nothing is stored.
        """
        return await self._intake.replay(body)

    async def run(self) -> None:
        """Dispatch for ever."""
        await self.dispatcher.run()

    async def run_once(self) -> int:
        """Dispatch what is due now; returns how many events there were."""
        return await self.dispatcher.run_once()

    async def drain(self) -> int:
        """Dispatch until nothing is due; returns how many events there were."""
        return await self.dispatcher.drain()
