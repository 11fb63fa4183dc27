"""A hold in the hands of a program: count what is used, and settle once at the end."""

import logging
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from types import TracebackType

from gatekeeper.errors import GatekeeperError, HoldEndedError, InvalidAmountError, UnknownNameError
from gatekeeper.formulas import QUANTITY
from gatekeeper.ledger import Hold, HoldStatus, Overrun
from gatekeeper.services.credits import Credits
from gatekeeper.types import check_amount

logger = logging.getLogger("gatekeeper")


class Reservation:
    """An open hold, with what has been recorded against it.

    `record` counts what is measured (tokens, say); the credits for it are worked out once, at the
    rate that was fixed on the hold.
    """

    def __init__(
        self, credits_: Credits, hold: Hold, *, overrun: Overrun = "cap", session: object = None
    ) -> None:
        self._credits = credits_
        self._session = session
        self._overrun = overrun
        self._recorded: dict[str, int] | None = None
        self._sealed = False
        self.hold = hold
        """The hold as it was last written."""

    @property
    def id(self) -> str:
        """The hold's id, with which another process can settle it."""
        return self.hold.id

    @property
    def amount(self) -> int:
        """What is held, in the unit's steps."""
        return self.hold.amount

    @property
    def recorded(self) -> int:
        """What has been recorded so far: of all measures together, where a formula has several."""
        return 0 if self._recorded is None else sum(self._recorded.values())

    @property
    def is_open(self) -> bool:
        """Whether the hold still has to be settled."""
        return self.hold.status is HoldStatus.OPEN

    def record(self, *quantity: int, **measures: int) -> None:
        """Count more of what is measured: a quantity (1 if nothing is said), or each measure of the
        hold's formula by its name: `hold.record(input=120, output=40)`.

        Raises:
            HoldEndedError: the hold is being settled or has been: this would not be charged.
            UnknownNameError: the hold's formula has no such measure.
            InvalidAmountError: not a whole number from 0 on.
        """
        if len(quantity) > 1:
            raise InvalidAmountError("Record one quantity at a time, or measures by their names.")
        if quantity or not measures:
            measures = {QUANTITY: quantity[0] if quantity else 1, **measures}
        known = frozenset({QUANTITY}) if self.hold.formula is None else self.hold.formula.measures
        for name, counted in measures.items():
            if name not in known:
                raise UnknownNameError("measure", name, known)
            check_amount(counted, "The recorded quantity", minimum=0)
        if self._sealed or not self.is_open:
            ended = "being settled" if self.is_open else str(self.hold.status)
            raise HoldEndedError(
                f"Hold {self.id!r} is {ended}; nothing more can be recorded on it.",
                hold=self.id,
                ended=ended,
            )
        before = self._recorded or dict.fromkeys(known, 0)
        self._recorded = {name: before[name] + measures.get(name, 0) for name in known}

    def seal(self) -> bool:
        """Begin to settle: nothing more can be recorded. False if somebody has begun before."""
        if self._sealed or not self.is_open:
            return False
        self._sealed = True
        return True

    def unseal(self) -> None:
        """Settling did not succeed: it may be tried again, and more be recorded until then."""
        self._sealed = not self.is_open

    async def capture(self, quantity: int | Mapping[str, int] | None = None) -> Hold:
        """Spend what `quantity` costs (None: all that is held) and give the rest back."""
        amount = None if quantity is None else self.hold.credits_for(quantity)
        self.hold = await self._credits.capture(
            self.id,
            amount,
            overrun=self._overrun,
            customer=self.hold.customer,
            session=self._session,
        )
        if self.hold.overrun:
            logger.warning(
                "hold %s of %s: %d %s were used beyond the %d held and are not charged",
                self.id,
                self.hold.customer,
                self.hold.overrun,
                self.hold.unit,
                self.hold.amount,
            )
        return self.hold

    async def release(self) -> Hold:
        """Give all of it back."""
        self.hold = await self._credits.release(
            self.id, customer=self.hold.customer, session=self._session
        )
        return self.hold

    async def extend(self, *, add_quantity: int | Mapping[str, int] = 0) -> Hold:
        """Keep the hold for another time to live, and claim what `add_quantity` costs on top."""
        extended = await self._credits.extend(
            self.id,
            add_amount=self.hold.credits_for(add_quantity) if add_quantity else 0,
            customer=self.hold.customer,
            session=self._session,
        )
        if self.is_open:  # a capture that came after it may have answered before it
            self.hold = extended
        return self.hold

    async def settle(self, *, failed: bool) -> None:
        """End the hold by the rule of `async with`: capture what was recorded; if nothing was,
        capture all after success and release all after a failure. Does nothing the second time;
        after an error it may be called again."""
        if not self.seal():
            return
        try:
            if self._recorded is None and failed:
                await self.release()
            else:
                await self.capture(self._recorded)
        finally:
            self.unseal()


async def capture_together(credits_: Credits, reservations: Sequence[Reservation]) -> None:
    """Spend several holds in full, in one transaction: all of them or none."""
    wanted = [reservation for reservation in reservations if reservation.seal()]
    if not wanted:
        return
    try:
        ended = await credits_.capture_all([reservation.hold for reservation in wanted])
        for reservation, hold in zip(wanted, ended, strict=True):
            reservation.hold = hold
    finally:
        for reservation in wanted:
            reservation.unseal()


class PendingReservation:
    """What `reserve(...)` returns: `await` it for a `Reservation`, or use it with `async with`.

    Args:
        make: makes the hold.
        awaited, entered: told of the reservation, by the way in which it was asked for.
        settle: settles it when the `async with` block ends; gets whether the block failed.
    """

    def __init__(
        self,
        make: Callable[[], Awaitable[Reservation]],
        *,
        settle: Callable[[Reservation, bool], Awaitable[None]],
        awaited: Callable[[Reservation], None] | None = None,
        entered: Callable[[Reservation], None] | None = None,
    ) -> None:
        self._make = make
        self._settle = settle
        self._awaited = awaited
        self._entered = entered
        self._reservation: Reservation | None = None

    def __await__(self) -> Generator[object, None, Reservation]:
        return self._make_for(self._awaited).__await__()

    async def __aenter__(self) -> Reservation:
        self._reservation = await self._make_for(self._entered)
        return self._reservation

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._reservation is not None
        try:
            await self._settle(self._reservation, exc is not None)
        except GatekeeperError:
            if exc is None:
                raise
            # What ended the block goes on: a cancellation above all must not be replaced.
            logger.exception("hold %s was not settled after its block failed", self._reservation.id)

    async def _make_for(self, tell: Callable[[Reservation], None] | None) -> Reservation:
        reservation = await self._make()
        if tell is not None:
            tell(reservation)
        return reservation
