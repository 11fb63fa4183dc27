"""Answering disputes: evidence is handed in, or the dispute is given up.

Both are stored requests, and what Stripe says then is read by the same projection as the webhook's
(https://docs.stripe.com/disputes/api).
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote

from gatekeeper.errors import ConflictError, StripeRequestError
from gatekeeper.services import disputes
from gatekeeper.services.back_office.mandates import (
    Act,
    Change,
    Mandate,
    act,
    carry_out,
    recording_refusal,
)
from gatekeeper.services.disputes import DisputeRow
from gatekeeper.services.rules import Rules
from gatekeeper.storage.mirror import MirrorPlace
from gatekeeper.storage.outgoing import RequestStatus
from gatekeeper.storage.port import Store
from gatekeeper.stripe.outgoing import OutgoingRequests
from gatekeeper.stripe.webhooks.handlers.context import nothing
from gatekeeper.stripe.webhooks.handlers.money import MoneyProjector
from gatekeeper.types import check_id, check_limit

SUBMIT: Final = "disputes update"
ACCEPT: Final = "disputes close"
_KINDS: Final = {SUBMIT: "dispute.submit", ACCEPT: "dispute.accept"}


class DisputeDesk:
    """The disputes of one gate. `seller` names who asks, if it is a seller: then it must be of
    their sale."""

    def __init__(
        self, store: Store, rules: Rules, outgoing: OutgoingRequests, money: MoneyProjector
    ) -> None:
        self._store = store
        self._rules = rules
        self._outgoing = outgoing
        self._money = money

    async def of_seller(
        self, seller: str, *, limit: int = 100, after: MirrorPlace | None = None
    ) -> Sequence[DisputeRow]:
        """The disputes of what a seller has sold, the newest first; `after` is the place of the
        last of the page before.

        Raises:
            InvalidIdError.
            InvalidInputError: `limit` is not from 1 to 1000.
        """
        check_id(seller, "seller")
        check_limit(limit)
        return await self._store.read(disputes.listed(self._rules, seller, limit, after))

    async def get(self, dispute_id: str, *, seller: str | None = None) -> DisputeRow:
        """A dispute.

        Raises:
            NotFoundError: there is none, or not of this seller's sales.
        """
        check_id(dispute_id, "dispute")
        return await self._store.read(disputes.owned(self._rules, dispute_id, seller))

    async def submit(
        self,
        dispute_id: str,
        evidence: dict[str, str],
        *,
        seller: str | None = None,
        submit: bool = True,
        idempotency_key: str | None = None,
        mandate: Mandate | None = None,
    ) -> DisputeRow:
        """Hand in evidence; or keep it at Stripe for now, with `submit` False. Most banks read what
        is handed in first, and nothing after it.

        Args:
            evidence: texts by Stripe's names (`gatekeeper.services.disputes.TEXTS`).
            mandate: who does so in the back office, and why: for its record.

        Raises:
            NotFoundError: there is no such dispute, or not of this seller's sales.
            ConflictError: it is decided.
            InvalidInputError: it is no evidence that can be handed in here.
            StripeUnavailableError, StripeRequestError.
        """
        found = await self.get(dispute_id, seller=seller)
        if await self._was_asked(SUBMIT, found, mandate) and not found.is_open:
            return found
        disputes.check_open(found)
        params = {"evidence": disputes.checked_evidence(evidence), "submit": submit}
        key = idempotency_key or (None if mandate is None else mandate.idempotency_key)
        return await self._change(SUBMIT, found, "", params, key, mandate)

    async def accept(
        self, dispute_id: str, *, seller: str | None = None, mandate: Mandate | None = None
    ) -> DisputeRow:
        """Give a dispute up: it is lost then. For those whose loss it is. One that was given up
        stays so, and is shown as it is.

        Raises:
            NotFoundError: there is no such dispute, or not of this seller's sales.
            ConflictError: the bank has decided it; or a seller would give up what is the
                platform's.
            StripeUnavailableError, StripeRequestError.
        """
        found = await self.get(dispute_id, seller=seller)
        if seller is not None and found.borne_by != "seller":
            raise ConflictError("The dispute is the platform's to give up.", dispute=dispute_id)
        if await self._was_asked(ACCEPT, found, mandate) and not found.is_open:
            return found
        key = f"gatekeeper-accept-{hashlib.sha256(dispute_id.encode()).hexdigest()[:32]}"
        asked = None
        if not found.is_open and mandate is None:
            asked = await self._outgoing.status_of(key)
        if asked is RequestStatus.DONE:
            return found
        if asked is None:
            disputes.check_open(found)
        # else its answer was lost, and the same key tells whether it was this that has closed it
        return await self._change(ACCEPT, found, "/close", {}, key, mandate)

    async def _change(
        self,
        operation: str,
        found: DisputeRow,
        path: str,
        params: dict[str, Any],
        idempotency_key: str | None,
        mandate: Mandate | None,
    ) -> DisputeRow:
        async with self._recorded(operation, found, params, mandate):
            try:
                await self._outgoing.post(
                    operation,
                    f"/v1/disputes/{quote(found.id, safe='')}{path}",
                    params,
                    customer=found.customer,  # what is said of them goes when they are erased
                    idempotency_key=idempotency_key,
                    settle=lambda *_: None,
                    keeps_trying=False,  # whoever asked was told that it failed
                )
            except StripeRequestError:
                now = await self._refreshed(found)
                disputes.check_open(now)  # the bank was faster
                raise
        return await self._refreshed(found)

    @asynccontextmanager
    async def _recorded(
        self, operation: str, found: DisputeRow, params: dict[str, Any], mandate: Mandate | None
    ) -> AsyncIterator[None]:
        """Who asks for it in the back office is recorded before: never without a record."""
        if mandate is None:
            yield
            return
        change = Change(
            before={"status": found.status},
            after={"evidence": sorted(params.get("evidence", ()))},
            subject=f"dispute/{found.id}",
        )
        to_do = _act(operation, found, mandate)
        await carry_out(self._store, to_do, lambda _: change)
        async with recording_refusal(self._store, to_do):
            yield

    async def _was_asked(self, operation: str, found: DisputeRow, mandate: Mandate | None) -> bool:
        """Whether the back office has asked for this before, under the same key."""
        if mandate is None:
            return False
        return await self._store.read(_act(operation, found, mandate).done) is not None

    async def _refreshed(self, found: DisputeRow) -> DisputeRow:
        if found.charge_id is not None:
            await self._money.refresh(found.charge_id, nothing)
        return await self._store.read(disputes.owned(self._rules, found.id, None))


def _act(operation: str, found: DisputeRow, mandate: Mandate) -> Act:
    return act(mandate, _KINDS[operation], customer=found.customer, dispute=found.id)
