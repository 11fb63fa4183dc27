"""What a task of a worker does inside host transactions, which are committed or rolled back."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from uuid_utils.compat import uuid7

from gatekeeper.errors import GatekeeperError, UnavailableError
from gatekeeper.ledger import Hold
from tests.bank.actions import Bank, some_ttl
from tests.bank.answers import HANG_SECONDS, note_refusal, of_hold
from tests.bank.shop import Ref, add_row, some_account


class RolledBackError(Exception):
    """The host has changed its mind."""


@dataclass(slots=True)
class Visit:
    """One transaction of the host's: what was asked for in it, and what it said."""

    session: AsyncSession
    said: dict[int, dict[str, Any] | None] = field(default_factory=dict)
    holds: list[Hold] = field(default_factory=list)


class HostTeller:
    """One task's host transactions."""

    def __init__(self, bank: Bank, engine: AsyncEngine, rng: random.Random) -> None:
        self._bank = bank
        self._engine = engine
        self._rng = rng

    async def act(self) -> None:
        """One transaction, with up to three things in it."""
        async with AsyncSession(self._engine, expire_on_commit=False) as session:
            visit = Visit(session)
            try:
                async with asyncio.timeout(HANG_SECONDS):
                    await self._visit(visit)
            except (RolledBackError, UnavailableError, DBAPIError) as error:
                await self._roll_back(visit, type(error).__name__)
                return
            except TimeoutError:
                self._bank.journal.fault(f"a host transaction hangs: {visit.said}")
                return
            except Exception as error:  # noqa: BLE001 - the journal has it, and the test fails by it
                self._bank.journal.fault(f"in a host transaction: {error!r}")
                return
            await self._commit(visit)

    async def _visit(self, visit: Visit) -> None:
        rng = self._rng
        steps = (self._capture, self._capture, self._reserve, self._grant, self._settle)
        for _ in range(rng.randint(1, 3)):
            await rng.choice(steps)(visit)
            if rng.random() < 0.15:
                await asyncio.sleep(rng.random() * 0.01)
        if rng.random() < 0.3:
            raise RolledBackError

    async def _commit(self, visit: Visit) -> None:
        try:
            await visit.session.commit()
        except DBAPIError:
            return  # whether it came through, nobody knows: the questions stay open
        for number, said in visit.said.items():
            if said is not None:
                self._bank.journal.told(number, **said)
        for hold in visit.holds:
            self._bank.learn(Ref.of(hold))

    async def _roll_back(self, visit: Visit, why: str) -> None:
        try:
            await visit.session.rollback()
        except DBAPIError:
            why = f"{why}, and the connection broke"  # then nothing was committed either
        for number in visit.said:
            self._bank.journal.refused(number, why)

    async def _said(
        self,
        visit: Visit,
        number: int,
        call: Awaitable[Any],
        say: Callable[[Any], dict[str, Any]],
    ) -> Any:
        """The answer inside the transaction; None if that alone was refused. What counts is noted
        when the transaction has ended."""
        visit.said[number] = None
        try:
            answer = await call
        except UnavailableError:
            raise  # the transaction is lost
        except GatekeeperError as error:
            del visit.said[number]
            note_refusal(self._bank.journal, number, error)
            return None
        visit.said[number] = say(answer)
        return answer

    # -- what is done -----------------------------------------------------------------------------

    async def _capture(self, visit: Visit) -> None:
        """A row beside a capture of just as much: before it or after it."""
        rng, bank = self._rng, self._bank
        ref = bank.some(rng, beside=True)
        if ref is None:
            return
        amount, final, row_first = rng.randint(1, 6), rng.random() < 0.5, rng.random() < 0.3
        number = bank.journal.ask("capture", hold=ref.id, amount=amount, overrun="refuse")
        visit.said[number] = None
        if row_first:
            await add_row(visit.session, str(uuid7()), "capture", ref.id, amount)
        call = bank.gate.capture(ref.id, amount, final=final, session=visit.session)
        hold = await self._said(visit, number, call, of_hold)
        if hold is None and row_first:
            raise RolledBackError
        if hold is not None and not row_first:
            await add_row(visit.session, str(uuid7()), "capture", ref.id, amount)

    async def _reserve(self, visit: Visit) -> None:
        rng, bank = self._rng, self._bank
        customer, unit = some_account(rng)
        amount, hold_id = rng.randint(1, 20), str(uuid7())
        number = bank.journal.ask(
            "reserve", hold=hold_id, customer=customer, unit=unit, amount=amount, partial=False
        )
        pending = bank.gate.reserve(
            customer,
            unit,
            amount,
            hold_id=hold_id,
            ttl=some_ttl(rng),
            reference=rng.choice(("booked", "booked,beside")),
            session=visit.session,
        )
        made = await self._said(visit, number, pending, lambda made: of_hold(made.hold))
        if made is not None:
            await add_row(visit.session, str(uuid7()), "reserve", hold_id, amount)
            visit.holds.append(made.hold)

    async def _grant(self, visit: Visit) -> None:
        rng, bank = self._rng, self._bank
        customer, unit = some_account(rng)
        amount, reason = rng.randint(1, 30), f"beside {uuid7()}"
        number = bank.journal.ask(
            "grant", customer=customer, unit=unit, amount=amount, reason=reason
        )
        call = bank.gate.grant(customer, unit, amount, reason=reason, session=visit.session)
        grant = await self._said(visit, number, call, lambda grant: {"grant": grant.id})
        if grant is not None:
            await add_row(visit.session, str(uuid7()), "grant", grant.id, amount)

    async def _settle(self, visit: Visit) -> None:
        """A release or an extension, beside no row."""
        rng, bank = self._rng, self._bank
        ref = bank.some(rng)
        if ref is None:
            return
        if rng.random() < 0.5:
            number = bank.journal.ask("release", hold=ref.id)
            call = bank.gate.release(ref.id, session=visit.session)
        else:
            add = rng.randint(0, 4)
            number = bank.journal.ask("extend", hold=ref.id, add=add)
            call = bank.gate.extend(ref.id, some_ttl(rng), add_amount=add, session=visit.session)
        await self._said(visit, number, call, of_hold)
