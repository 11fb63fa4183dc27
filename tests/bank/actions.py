"""What a task of a worker does, at random, by calls of the gate outside any host transaction."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from uuid_utils.compat import uuid7

from gatekeeper import Gatekeeper
from gatekeeper.errors import GatekeeperError
from gatekeeper.ledger import Grant, GrantCredits, GrantKind, Hold, Overrun
from tests.bank.answers import HANG_SECONDS, answered, note_refusal, of_hold
from tests.bank.journal import Journal
from tests.bank.shop import COLD, HOT, Ref, shared_key, some_account

MAX_KNOWN: Final = 400


@dataclass(slots=True)
class Bank:
    """What the tasks of one worker share: they settle each other's holds."""

    gate: Gatekeeper
    journal: Journal
    known: list[Ref] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)

    def learn(self, ref: Ref) -> None:
        """Let everybody know of a hold."""
        self.known.append(ref)
        if len(self.known) > MAX_KNOWN:
            del self.known[: MAX_KNOWN // 2]

    def some(self, rng: random.Random, *, beside: bool | None = None) -> Ref | None:
        """A hold to do something to; at times others may still find it."""
        refs = [ref for ref in self.known if beside is None or ref.beside is beside]
        if not refs:
            return None
        ref = rng.choice(refs)
        if rng.random() < 0.7:
            self.known.remove(ref)
        return ref


def some_ttl(rng: random.Random) -> timedelta:
    """A time to live: often too short."""
    longest = 0.2 if rng.random() < 0.3 else 3.0
    return timedelta(seconds=rng.uniform(0.02, longest))


class Teller:
    """One task."""

    def __init__(self, bank: Bank, rng: random.Random) -> None:
        self._bank = bank
        self._rng = rng
        self._actions: dict[Callable[[], Awaitable[None]], int] = {
            self.reserve: 30,
            self.reserve_by_key: 6,
            self.reserve_as_block: 6,
            self.reserve_and_leave: 3,
            self.capture: 20,
            self.capture_a_part: 10,
            self.release: 8,
            self.extend: 8,
            self.grant: 7,
            self.revoke: 2,
            self.look_around: 2,
        }

    async def act(self) -> None:
        """Do one thing."""
        actions, weights = zip(*self._actions.items(), strict=True)
        await self._rng.choices(actions, weights)[0]()

    async def _asked(self, number: int, call: Awaitable[Hold]) -> Hold | None:
        """Ask for something to be done to a hold, and note that it was."""
        hold = await answered(self._bank.journal, number, call)
        if hold is not None:
            self._bank.journal.told(number, **of_hold(hold))
        return hold

    # -- reserve ----------------------------------------------------------------------------------

    async def reserve(self) -> None:
        """Hold something, under an id of our own."""
        rng, bank = self._rng, self._bank
        customer, unit = some_account(rng)
        amount, partial, hold_id = rng.randint(1, 20), rng.random() < 0.15, str(uuid7())
        reference = "beside" if rng.random() < 0.3 else None
        number = bank.journal.ask(
            "reserve", hold=hold_id, customer=customer, unit=unit, amount=amount, partial=partial
        )
        made = self._reserved(
            bank.gate.reserve(
                customer,
                unit,
                amount,
                hold_id=hold_id,
                ttl=some_ttl(rng),
                partial=partial,
                reference=reference,
            )
        )
        if await self._asked(number, made) is not None:
            bank.learn(Ref(hold_id, customer, unit, reference is not None))

    async def reserve_by_key(self) -> None:
        """Hold something by an idempotency key that others use too."""
        rng, bank = self._rng, self._bank
        key = shared_key(rng, "key")
        by_key = random.Random(key)
        (customer, unit), amount = some_account(by_key), by_key.randint(1, 20)
        hold_id = str(uuid7())
        number = bank.journal.ask(
            "reserve", hold=hold_id, customer=customer, unit=unit, amount=amount, partial=False
        )
        made = self._reserved(
            bank.gate.reserve(
                customer,
                unit,
                amount,
                hold_id=hold_id,
                ttl=some_ttl(rng),
                idempotency_key=key,
                feature=key,
            )
        )
        hold = await self._asked(number, made)
        if hold is not None and rng.random() < 0.5:
            await self._capture(Ref.of(hold), None, final=True)

    async def reserve_as_block(self) -> None:
        """Hold something for the length of a block, which may fail."""
        rng, bank = self._rng, self._bank
        customer, unit = some_account(rng)
        amount, hold_id, fails = rng.randint(1, 20), str(uuid7()), rng.random() < 0.3
        number = bank.journal.ask(
            "reserve", hold=hold_id, customer=customer, unit=unit, amount=amount, partial=False
        )
        end = bank.journal.ask("capture", hold=hold_id, amount=None)
        released = bank.journal.ask("release", hold=hold_id)
        try:
            async with asyncio.timeout(HANG_SECONDS):
                asked = number
                async with bank.gate.reserve(customer, unit, amount, hold_id=hold_id) as hold:
                    bank.journal.told(number, **of_hold(hold.hold))
                    asked = end
                    if rng.random() < 0.5:
                        hold.record(rng.randint(0, amount))
                    await asyncio.sleep(rng.random() * 0.01)
                    if fails:
                        raise ZeroDivisionError
        except ZeroDivisionError:
            return
        except TimeoutError:
            bank.journal.fault(f"question {number}: no answer in {HANG_SECONDS} s")
        except GatekeeperError as error:
            note_refusal(bank.journal, asked, error)
            return
        bank.journal.told(end, **of_hold(hold.hold))
        bank.journal.refused(released, "captured")

    async def reserve_and_leave(self) -> None:
        """Ask for a hold, and be cancelled before the answer is there."""
        rng, bank = self._rng, self._bank
        customer, unit = some_account(rng)
        amount, hold_id = rng.randint(1, 20), str(uuid7())
        bank.journal.ask(
            "reserve", hold=hold_id, customer=customer, unit=unit, amount=amount, partial=False
        )
        bank.journal.ask("release", hold=hold_id)
        made = self._reserved(
            bank.gate.reserve(customer, unit, amount, hold_id=hold_id, ttl=some_ttl(rng))
        )
        task = asyncio.ensure_future(made)
        for _ in range(rng.randrange(12)):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError, GatekeeperError):
            await task

    async def _reserved(self, pending: Awaitable[object]) -> Hold:
        reservation = await pending
        hold: Hold = reservation.hold  # type: ignore[attr-defined]  # the class is not public
        return hold

    # -- settle -----------------------------------------------------------------------------------

    async def capture(self) -> None:
        """End a hold by a capture below, at or above what it holds."""
        rng = self._rng
        ref = self._bank.some(rng, beside=False)
        if ref is None:
            return
        overrun: Overrun = rng.choice(("refuse", "cap", "overage"))
        amount = rng.randint(0, 25) if overrun == "overage" or rng.random() < 0.6 else None
        await self._capture(ref, amount, final=True, overrun=overrun)

    async def capture_a_part(self) -> None:
        """Capture a part of a hold that goes on; twice at once by the same key at times."""
        rng = self._rng
        ref = self._bank.some(rng, beside=False)
        if ref is None:
            return
        key, amount = str(uuid7()), rng.randint(1, 5)
        await asyncio.gather(
            *(
                self._capture(ref, amount, final=False, key=key)
                for _ in range(rng.choice((1, 1, 2, 3)))
            )
        )

    async def _capture(
        self,
        ref: Ref,
        amount: int | None,
        *,
        final: bool,
        overrun: Overrun = "refuse",
        key: str | None = None,
    ) -> None:
        bank = self._bank
        number = bank.journal.ask("capture", hold=ref.id, amount=amount, overrun=overrun, key=key)
        customer = ref.customer if self._rng.random() < 0.5 else None
        await self._asked(
            number,
            bank.gate.capture(
                ref.id,
                amount,
                final=final,
                overrun=overrun,
                customer=customer,
                idempotency_key=key,
            ),
        )

    async def release(self) -> None:
        """Give a hold back."""
        ref = self._bank.some(self._rng)
        if ref is not None:
            number = self._bank.journal.ask("release", hold=ref.id)
            await self._asked(number, self._bank.gate.release(ref.id, customer=ref.customer))

    async def extend(self) -> None:
        """Keep a hold for longer, and claim more at times; twice at once by one key, too."""
        rng, bank = self._rng, self._bank
        ref = bank.some(rng)
        if ref is None:
            return
        add, ttl = rng.choice((0, 0, rng.randint(1, 8))), some_ttl(rng)
        key = str(uuid7()) if rng.random() < 0.5 else None

        async def once() -> None:
            number = bank.journal.ask("extend", hold=ref.id, add=add, key=key)
            call = bank.gate.extend(ref.id, ttl, add_amount=add, idempotency_key=key)
            await self._asked(number, call)

        await asyncio.gather(*(once() for _ in range(2 if key else 1)))

    # -- grants -----------------------------------------------------------------------------------

    async def grant(self) -> None:
        """Grant something: by a key or for a purchase that others send too, or just so."""
        rng, bank = self._rng, self._bank
        kind = rng.choice(("gift", "source", "once"))
        key = None if kind == "once" else shared_key(rng, kind)
        by_key = random.Random(key or rng.random())
        (customer, unit), amount = some_account(by_key), by_key.randint(1, 60)
        reason = f"{kind} {key or uuid7()}"
        number = bank.journal.ask(
            "grant", customer=customer, unit=unit, amount=amount, reason=reason, key=key
        )
        if kind == "source":
            command = GrantCredits(
                grant_id=str(uuid7()),
                amount=amount,
                kind=GrantKind.TOP_UP,
                source_key=key,
                reason=reason,
            )
            call = bank.gate.credits.grant(customer, unit, command)
        else:
            call = bank.gate.grant(customer, unit, amount, reason=reason, idempotency_key=key)
        grant = await answered(bank.journal, number, call)
        if grant is not None:
            bank.journal.told(number, grant=grant.id)
            bank.grants.append(grant)

    async def revoke(self) -> None:
        """Take what is left of a grant back."""
        bank = self._bank
        if not bank.grants:
            return
        grant = bank.grants.pop(self._rng.randrange(len(bank.grants)))
        number = bank.journal.ask("revoke", grant=grant.id)
        call = bank.gate.revoke(grant.customer, grant.unit, grant.id, reason="by chance")
        lapsed = await answered(bank.journal, number, call)
        if lapsed is not None:
            bank.journal.told(number, lapsed=lapsed)

    async def look_around(self) -> None:
        """Find holds that other workers have made, to settle them."""
        rng, bank = self._rng, self._bank
        customer = rng.choice(HOT if rng.random() < 0.7 else COLD)
        number = bank.journal.ask("look")
        found = await answered(bank.journal, number, bank.gate.open_holds(customer, "credits"))
        for hold in rng.sample(found or [], min(3, len(found or []))):
            bank.learn(Ref.of(hold))
