"""The backfill: take over the customers of a Stripe account that was there before us.

Who is who is said by the operator: by a list, or by the key of Stripe's metadata that holds the
host's id (metadata decides nothing unless the operator says so). A mapping that is there is never
overwritten; what contradicts itself is reported and left alone.
"""

from collections.abc import Callable, Mapping
from typing import Final

import anyio
import msgspec
from msgspec.structs import replace

from gatekeeper.errors import CustomerNotFoundError, InvalidIdError
from gatekeeper.services import customers
from gatekeeper.services.history import Because
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.long_work import Held, held
from gatekeeper.stripe.stamp import DatabaseStamp
from gatekeeper.stripe.webhooks import Projections

NAME: Final = "backfill"
IMPORTED: Final = Because("backfill")

WhoIs = Callable[[Obj], str | None]
"""The host's id of a Stripe customer; None for nobody's."""


def by_metadata(key: str) -> WhoIs:
    """The host's id stands in the metadata of Stripe's customer."""
    return lambda found: (found.get("metadata") or {}).get(key) or None


def by_list(ids: Mapping[str, str]) -> WhoIs:
    """The host's ids by those of Stripe."""
    return lambda found: ids.get(found["id"])


class BackfillReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a backfill has found.

    Attributes:
        links: how many Stripe customers were mapped, or would be.
        skipped: how many of them an earlier run had finished.
        nobodys: how many Stripe customers have no host's id.
        conflicts: why others were left alone, one sentence each.
        subscriptions, invoices: how many were projected.
    """

    links: int = 0
    skipped: int = 0
    nobodys: int = 0
    conflicts: tuple[str, ...] = ()
    subscriptions: int = 0
    invoices: int = 0


class Backfill:
    """Maps customers, then projects their subscriptions and paid invoices as webhooks would."""

    def __init__(self, gateway: StripeGateway, store: Store, projections: Projections) -> None:
        self._gateway = gateway
        self._store = store
        self._projections = projections

    async def run(
        self, who_is: WhoIs, *, dry_run: bool = False, customers_per_second: float = 5.0
    ) -> BackfillReport:
        """Map and project. A run that was cut off goes on behind the last customer it finished;
        one that ended begins anew, and finds nothing to change.

        Raises:
            ConflictError: another process is at it.
            DatabaseStampError, StripeUnavailableError, StripeRequestError, StoreUnavailableError.
        """
        await DatabaseStamp(self._store, self._gateway).confirm()
        found, nobodys = await self._listed(who_is)
        links, conflicts = await self._store.read(lambda tx: _links(tx, found))
        report = BackfillReport(links=len(links), nobodys=nobodys, conflicts=tuple(conflicts))
        if dry_run:
            return report
        async with held(self._store, NAME) as work:
            after = work.state.get("after", "")
            rest = [(theirs, ours) for theirs, ours in sorted(links.items()) if theirs > after]
            report = replace(report, skipped=len(links) - len(rest))
            for theirs, ours in rest:
                report = await self._take(theirs, ours, report, work)
                await work.save(after=theirs)
                await anyio.sleep(1 / customers_per_second)
            await work.save(after="")
        return report

    async def _listed(self, who_is: WhoIs) -> tuple[dict[str, list[str]], int]:
        """Stripe's ids by the host's. Held in memory: some 200 bytes for each customer."""
        found: dict[str, list[str]] = {}
        nobodys = 0
        async for page in self._gateway.pages("/v1/customers", what="listing customers"):
            for customer in page:
                ours = who_is(customer)
                if ours is None:
                    nobodys += 1
                else:
                    found.setdefault(ours, []).append(customer["id"])
        return found, nobodys

    async def _take(
        self, theirs: str, ours: str, report: BackfillReport, work: Held
    ) -> BackfillReport:
        if (conflict := await self._store.write(lambda tx: _link(tx, theirs, ours))) is not None:
            return replace(report, conflicts=(*report.conflicts, conflict))
        subscriptions = invoices = 0
        query = {"customer": theirs, "status": "all"}
        async for page in self._gateway.pages(
            "/v1/subscriptions", query, what="listing subscriptions"
        ):
            for one in page:
                await self._projections.subscriptions.refresh(one["id"], because=IMPORTED)
                subscriptions += 1
                await work.save()
        query = {"customer": theirs, "status": "paid"}
        async for page in self._gateway.pages("/v1/invoices", query, what="listing invoices"):
            for one in page:
                await self._projections.invoices.refresh(one["id"], because=IMPORTED)
                invoices += 1
                await work.save()
        return replace(
            report,
            subscriptions=report.subscriptions + subscriptions,
            invoices=report.invoices + invoices,
        )


def _links(tx: Transaction, found: Mapping[str, list[str]]) -> tuple[dict[str, str], list[str]]:
    """What can be mapped without a guess (the host's ids by Stripe's), and what can't."""
    links: dict[str, str] = {}
    conflicts = []
    for ours, several in found.items():
        if len(several) > 1:
            conflicts.append(f"{ours}: several Stripe customers: {', '.join(sorted(several))}.")
        elif (conflict := _conflict(tx, several[0], ours)) is not None:
            conflicts.append(conflict)
        else:
            links[several[0]] = ours
    return links, conflicts


def _conflict(tx: Transaction, theirs: str, ours: str) -> str | None:
    holder = tx.customers.by_stripe_id(theirs)
    if holder is not None and holder.id != ours:
        return f"{ours}: {theirs} belongs to {holder.id} already."
    known = tx.customers.get(ours)
    if known is not None and known.stripe_id not in {None, theirs}:
        return f"{ours}: is {known.stripe_id} at Stripe already, not {theirs}."
    return None


def _link(tx: Transaction, theirs: str, ours: str) -> str | None:
    """Map one customer; returns why not. Looked at again, under the row's lock."""
    try:
        customers.ensure(tx, ours, is_news=False)
    except (CustomerNotFoundError, InvalidIdError) as error:
        return f"{ours}: {error}"
    known = tx.customers.get(ours, lock=True)
    assert known is not None
    conflict = _conflict(tx, theirs, ours)
    if conflict is None and known.stripe_id is None:
        tx.customers.save(replace(known, stripe_id=theirs))
    return conflict
