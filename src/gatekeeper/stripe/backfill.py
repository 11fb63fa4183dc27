"""The backfill: take over the customers of a Stripe account that was there before us.

Who is who is said by the operator: by a list, or by the key of Stripe's metadata that holds the
host's id (metadata decides nothing unless the operator says so). A mapping that is there is never
overwritten; what contradicts itself is reported and left alone.

It is silent: that a subscription was there before is no news to the customer, whom a host's handler
of `subscription.changed` may write to. The operator may have it told.
"""

import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

import anyio
import msgspec
from msgspec.structs import replace

from gatekeeper.errors import (
    ConflictError,
    CustomerNotFoundError,
    GatekeeperError,
    InvalidIdError,
    UnavailableError,
)
from gatekeeper.projection.mirrored import project_mirrored
from gatekeeper.services import customers
from gatekeeper.services.history import Because
from gatekeeper.services.mirror import link
from gatekeeper.storage.mirror import MirrorObject
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.client import Obj, StripeGateway
from gatekeeper.stripe.long_work import Held, held
from gatekeeper.stripe.reconciliation.money import MONEY_SINCE
from gatekeeper.stripe.reconciliation.report import Watch, unwatched
from gatekeeper.stripe.stamp import DatabaseStamp
from gatekeeper.stripe.webhooks import Projections
from gatekeeper.stripe.webhooks.handlers.context import nothing
from gatekeeper.stripe.webhooks.handlers.money import WARNING

logger = logging.getLogger("gatekeeper.reconciliation")

NAME: Final = "backfill"
IMPORTED: Final = Because("backfill")

_MOST_WARNINGS: Final = 100

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
        failed: whose subscriptions or invoices could not all be projected, one sentence each; they
            are mapped, and a reconciliation finds what is missing.
        subscriptions, invoices: how many were projected.
    """

    links: int = 0
    skipped: int = 0
    nobodys: int = 0
    conflicts: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    subscriptions: int = 0
    invoices: int = 0


class Backfill:
    """Maps customers, then projects their subscriptions, their paid invoices and what has gone back
    of their money, as webhooks would.

    Args:
        quiet: projections by rules that tell nobody.
        telling: projections that tell what has changed.
    """

    def __init__(
        self, gateway: StripeGateway, store: Store, quiet: Projections, telling: Projections
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._quiet = quiet
        self._telling = telling

    async def run(
        self,
        who_is: WhoIs,
        *,
        dry_run: bool = False,
        tell: bool = False,
        customers_per_second: float = 5.0,
        watch: Watch = unwatched,
    ) -> BackfillReport:
        """Map and project. A run that was cut off goes on behind the last customer it finished, if
        who is who is still the same; one that ended begins anew, and finds nothing to change.

        Args:
            tell: `subscription.changed` for each subscription, and `payment.succeeded` for what was
                paid in the last week.

        Raises:
            ConflictError: another process is at it.
            DatabaseStampError, StripeUnavailableError, StripeRequestError, StoreUnavailableError.
        """
        await DatabaseStamp(self._store, self._gateway).confirm()
        found, nobodys = await self._listed(who_is, watch)
        links, conflicts = await self._store.read(lambda tx: _links(tx, found))
        report = BackfillReport(links=len(links), nobodys=nobodys, conflicts=tuple(conflicts))
        if dry_run:
            return report
        projections = self._telling if tell else self._quiet
        digest = hashlib.sha256(msgspec.json.encode(found, order="sorted")).hexdigest()
        async with held(self._store, NAME) as work:
            after = work.state.get("after", "") if work.state.get("of") == digest else ""
            rest = [(theirs, ours) for theirs, ours in sorted(links.items()) if theirs > after]
            report = replace(report, skipped=len(links) - len(rest))
            for theirs, ours in rest:
                report = await self._take(theirs, ours, report, work, projections)
                await work.save(after=theirs, of=digest)
                watch("taken over", 1)
                await anyio.sleep(1 / customers_per_second)
            await work.save(after="")
        return report

    async def _listed(self, who_is: WhoIs, watch: Watch) -> tuple[dict[str, list[str]], int]:
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
            watch("customers", len(page))
        return found, nobodys

    async def _take(
        self,
        theirs: str,
        ours: str,
        report: BackfillReport,
        work: Held,
        projections: Projections,
    ) -> BackfillReport:
        """Map one customer and project what is theirs; what can't be holds up nobody else."""
        if (conflict := await self._store.write(lambda tx: _link(tx, theirs, ours))) is not None:
            return replace(report, conflicts=(*report.conflicts, conflict))
        subscriptions = invoices = 0
        failed: list[str] = []
        for warning in await self._store.read(lambda tx: _warnings(tx, ours)):
            failed += await _tried(warning.id, ours, partial(self._warn, warning, projections))
        steps: tuple[tuple[str, dict[str, str], Callable[..., Awaitable[None]]], ...] = (
            # First, so that nothing is granted for what was given back.
            ("/v1/charges", {}, partial(projections.money.refresh, complete=nothing)),
            ("/v1/subscriptions", {"status": "all"}, projections.subscriptions.refresh),
            ("/v1/invoices", {"status": "paid"}, projections.invoices.refresh),
        )
        for path, more, refresh in steps:
            query = {"customer": theirs, **more}
            async for page in self._gateway.pages(path, query, what=f"listing {path}"):
                for one in page:
                    if path == "/v1/charges" and not _has_gone_back(one):
                        continue
                    look = partial(refresh, one["id"], because=IMPORTED)
                    failed += await _tried(one["id"], ours, look)
                    subscriptions += path == "/v1/subscriptions"
                    invoices += path == "/v1/invoices"
                    await work.save()
        return replace(
            report,
            failed=(*report.failed, *failed),
            subscriptions=report.subscriptions + subscriptions,
            invoices=report.invoices + invoices,
        )

    async def _warn(self, copy: MirrorObject, projections: Projections) -> None:
        """Freeze, by policy, for a warning that came while the customer was nobody's."""
        found = await self._gateway.fetch(WARNING, copy.id)
        charge_id = (copy.parent or "").removeprefix("charge/")
        if found is not None and charge_id:
            seen = project_mirrored({**found, "charge": charge_id}, WARNING)
            await projections.money.refresh(charge_id, nothing, warning=seen, because=IMPORTED)


async def _tried(name: str, ours: str, look: Callable[[], Awaitable[None]]) -> list[str]:
    """Project something; what can't be is told, one sentence."""
    try:
        await look()
    except (UnavailableError, ConflictError):
        raise
    except GatekeeperError as error:
        logger.exception("%s of %s could not be projected", name, ours)
        return [f"{ours}: {name}: {error}"]
    return []


def _warnings(tx: Transaction, customer: str) -> list[MirrorObject]:
    """The fraud warnings of a customer that are recent, as the sweep has it. (Those that never came
    are found by that.)"""
    since = tx.now() - MONEY_SINCE
    found = tx.mirror.of_customer(customer, WARNING, _MOST_WARNINGS)
    return [one for one in found if one.created_at is None or one.created_at >= since]


def _has_gone_back(charge: Obj) -> bool:
    """Whether anything was, or may have been, taken off a charge."""
    return bool(charge.get("amount_refunded") or charge.get("disputed"))


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
        link(tx, known, theirs)
    return conflict
