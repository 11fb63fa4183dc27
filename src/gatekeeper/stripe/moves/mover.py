"""The mover: plans a bulk move, and carries it out one subscription after the other.

Each subscription is fetched again before it is changed, since Stripe has no change "if it is still
so": the customer may have changed it since the plan was made. Each change is a stored request of
its own; its key names the run, which a run that goes on after a crash takes over. What was moved
has the new price, and is found to be no work by the next run.
"""

import hashlib
import logging
from datetime import datetime
from functools import partial
from typing import Final

import anyio
import msgspec
from msgspec.structs import replace
from uuid_utils.compat import uuid4

from gatekeeper.catalog import Catalog
from gatekeeper.errors import ConflictError, InvalidInputError, StripeRequestError
from gatekeeper.services.subscriptions import owner_of
from gatekeeper.storage.outgoing import OutgoingRequest
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.long_work import Held, held
from gatekeeper.stripe.moves.judging import MOVED_FROM, judge, params_of, reason_against
from gatekeeper.stripe.moves.targets import Choosing, Targets
from gatekeeper.stripe.moves.values import Move, MovePlan, MoveReport, Proration, Skipped
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.reconciliation.report import Watch, unwatched
from gatekeeper.stripe.stamp import DatabaseStamp

logger = logging.getLogger("gatekeeper.stripe")

NAME: Final = "price-moves"
OPERATION: Final = "subscription price move"

MAX_REFUSED_IN_A_ROW: Final = 10
"""Then it is not the subscriptions: the move stops."""


class MoveOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to move.

    Attributes:
        old, new: from this price to that, by id or lookup key; None: as the catalogue has it.
        proration: what is billed for the rest of the running period.
    """

    old: str | None = None
    new: str | None = None
    proration: Proration = "none"


class PriceMover:
    """Moves the subscriptions of one gate to other prices."""

    def __init__(
        self, gateway: StripeGateway, store: Store, catalog: Catalog, outgoing: OutgoingRequests
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._targets = Targets(gateway, store, catalog)
        self._outgoing = outgoing
        outgoing.on_resumed(OPERATION, None, look=self._look, looks_first=True)

    async def plan(self, options: MoveOptions | None = None, watch: Watch = unwatched) -> MovePlan:
        """What would be moved; changes nothing.

        Raises:
            InvalidInputError, ConfigurationError: see `Targets`.
            DatabaseStampError, StripeUnavailableError, StripeRequestError, StoreUnavailableError.
        """
        await DatabaseStamp(self._store, self._gateway).confirm()
        return await self._plan(await self._choosing(options or MoveOptions()), watch)

    async def run(
        self,
        options: MoveOptions | None = None,
        watch: Watch = unwatched,
        *,
        per_second: float = 5.0,
    ) -> MoveReport:
        """Move what `plan` names, one after the other. A run that was cut off is gone on with by
        the next one of the same options.

        Raises:
            ConflictError: another process is at it, or Stripe refuses one after the other.
            StripeUnavailableError and the others of `plan`: what was moved before stays moved.
        """
        options = options or MoveOptions()
        await DatabaseStamp(self._store, self._gateway).confirm()
        async with held(self._store, NAME) as work:
            state = work.state
            if state.get("run") is None or state.get("options") != msgspec.to_builtins(options):
                state = {"run": uuid4().hex, "options": msgspec.to_builtins(options), "moved": 0}
                await work.save(**state)
            choosing = await self._choosing(options)
            plan = await self._plan(choosing, watch, work)
            report = MoveReport(earlier=state["moved"], skipped=plan.skipped)
            in_a_row = 0
            for move in plan.moves:
                before = len(report.refused)
                report = await self._one(move, choosing, options, work, report)
                in_a_row = in_a_row + 1 if len(report.refused) > before else 0
                if in_a_row >= MAX_REFUSED_IN_A_ROW:
                    await work.save(run=None, moved=0)  # or Stripe repeats its refusals for a day
                    raise ConflictError(
                        f"Stripe refuses one move after the other; the last: {report.refused[-1]}"
                    )
                watch("moved", 1)
                await anyio.sleep(1 / per_second)
            await work.save(run=None, moved=0)
        return report

    async def _one(
        self,
        planned: Move,
        choosing: Choosing,
        options: MoveOptions,
        work: Held,
        report: MoveReport,
    ) -> MoveReport:
        """Move one subscription, as it is now. What changes between this look and Stripe's carrying
        it out, a fraction of a second later, is not seen: Stripe knows no "if it is still so"."""
        found = await self._gateway.fetch("subscription", planned.subscription_id)
        verdict = None if found is None else await self._verdict(found, choosing)
        if isinstance(verdict, Skipped):
            return replace(report, skipped=(*report.skipped, verdict))
        if not isinstance(verdict, Move):
            return report  # somebody has moved it, or ended it, meanwhile
        params = params_of(verdict, options.proration)
        digest = hashlib.sha256(msgspec.json.encode(params, order="sorted")).hexdigest()[:16]
        try:
            await self._outgoing.post(
                OPERATION,
                f"/v1/subscriptions/{verdict.subscription_id}",
                params,
                customer=verdict.customer,
                idempotency_key=(
                    f"gatekeeper-move-{work.state['run']}-{verdict.subscription_id}-{digest}"
                ),
                settle=lambda tx, answer: None,
            )
        except StripeRequestError as error:
            logger.warning("%s was not moved: %s", verdict.subscription_id, error)
            refused = f"{verdict.subscription_id} ({verdict.customer}): {error}"
            return replace(report, refused=(*report.refused, refused))
        await work.save(moved=report.earlier + report.moved + 1)
        return replace(report, moved=report.moved + 1)

    async def _choosing(self, options: MoveOptions) -> Choosing:
        if (options.old is None) is not (options.new is None):
            raise InvalidInputError("Give both the old price and the new one, or neither.")
        if options.old is not None and options.new is not None:
            return await self._targets.of_operator(options.old, options.new)
        return await self._targets.of_catalog()

    async def _plan(self, choosing: Choosing, watch: Watch, work: Held | None = None) -> MovePlan:
        """Look at all subscriptions. Held in memory: some 500 bytes for each that is moved."""
        moves: list[Move] = []
        skipped: list[Skipped] = []
        strangers = 0
        # Without a status Stripe lists all that have not been canceled.
        async for page in self._gateway.pages("/v1/subscriptions", what="listing subscriptions"):
            for found in page:
                match await self._verdict(found, choosing):
                    case Move() as move:
                        moves.append(move)
                    case Skipped() as one:
                        skipped.append(one)
                    case str():
                        strangers += 1
            watch("subscriptions", len(page))
            if work is not None:
                await work.save()
        return MovePlan(
            at=await self._store.read(_now),
            moves=tuple(sorted(moves, key=lambda move: move.subscription_id)),
            skipped=tuple(skipped),
            strangers=strangers,
        )

    async def _verdict(self, found: Obj, choosing: Choosing) -> Move | Skipped | str | None:
        """What to do with a subscription; a stranger's id if it is one's."""
        if found["items"].get("has_more"):
            found = await self._gateway.fetch("subscription", found["id"]) or found

        def work(tx: Transaction) -> Move | Skipped | str | None:
            owner = owner_of(tx, found["customer"], found["id"])
            name = str(found["customer"]) if owner is None else owner.id
            verdict = judge(found, name, partial(choosing, tx))
            return name if owner is None and verdict is not None else verdict

        return await self._store.read(work)

    async def _look(self, request: OutgoingRequest) -> Obj | None:
        """Whether a move was done that was not heard of. It is not sent any more once the
        subscription is another: the customer's own change counts."""
        found = await self._gateway.fetch("subscription", request.path.rpartition("/")[2])
        if found is None:
            raise ConflictError("The subscription is gone.")
        has = {item["id"]: item["price"]["id"] for item in found["items"]["data"]}
        asked = msgspec.json.decode(request.params)["items"]
        if all(has.get(item["id"]) == item["price"] for item in asked):
            return found
        if any(has.get(item["id"]) != item["metadata"][MOVED_FROM] for item in asked):
            raise ConflictError("The subscription has other prices by now.")
        reason = reason_against(found)
        if reason is not None:
            raise ConflictError(f"The subscription is left alone: {reason}.")
        return None


def _now(tx: Transaction) -> datetime:
    return tx.now()
