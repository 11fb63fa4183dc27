"""The work beside the requests: in the background of a process, from cron, or as jobs of a host's
own job engine."""

import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from gatekeeper.errors import RegistrationError
from gatekeeper.gate.wired import Wired
from gatekeeper.stripe.reconciliation import logged
from gatekeeper.stripe.webhooks import Wake
from gatekeeper.wiring import loops_of

W = TypeVar("W", bound=Wake)

logger = logging.getLogger("gatekeeper")


class WorkDone(NamedTuple):
    """How much a run of `Gatekeeper.work` found to do."""

    events: int
    holds: int
    messages: int = 0


class WorkMethods(Wired):
    """What dispatches, delivers and keeps house."""

    async def work(self) -> WorkDone:
        """Do once all that is due, with the gate connected: send again what Stripe has not
        answered, dispatch events, expire holds, deliver messages, seal and report usage, send
        transfers, pay top-ups, reconcile if it is time, and prune. For the jobs of a job engine.

        Several may do so at once, beside any background: what one has, no other does.

        Raises:
            StoreUnavailableError: the database can't be reached; the next run goes on.
        """
        parts = self._parts
        stripe = parts.stripe
        if stripe is not None:
            await stripe.outgoing.resume()
        done = WorkDone(
            events=await parts.receiver.drain(),
            holds=await parts.upkeep.expire_holds(),
            messages=await self.outbox.drain(),
        )
        await parts.teller.tell_due()
        await parts.credits.send_notices()
        if parts.catalog.meters:
            await parts.sealer.seal_due()
            if stripe is not None:
                await _tried(stripe.sender.send_due)
        if stripe is not None:
            await _tried(stripe.payer.send_due)
            await _tried(stripe.taker.take_due)
            await _tried(stripe.top_up_payer.pay_due)
            await logged(stripe.reconciler.run_if_due)
        await parts.upkeep.prune()
        return done

    def start_work(self) -> None:
        """Have this process do all the work in its background, also what its settings leave to
        others (`background_work`, `inline_dispatch`). The gate must be open."""
        started = loops_of(self._parts, self.settings)
        for name, loop in loops_of(self._parts, self.settings, everything=True).items():
            if name not in started:
                self.tasks.loop(loop, f"gatekeeper {name}")

    def on_accepted(self, function: W) -> W:
        """Have a coroutine function called soon after webhook events were stored, to wake what
        dispatches them elsewhere: once for all that came meanwhile, not once for each. It is a
        hint, and may be lost with the process.

        Raises:
            RegistrationError: there is one already.
        """
        if self.receiver.waking.call is not None:
            raise RegistrationError("on_accepted() has its function already.")
        self.receiver.waking.call = function
        return function


async def _tried(run: Callable[[], Awaitable[object]]) -> None:
    """What needs Stripe must not hold up what doesn't."""
    try:
        await run()
    except Exception:
        logger.exception("a part of the work was interrupted; the next run goes on")
