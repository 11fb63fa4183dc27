"""Holds of running programs: made, renewed and settled in tasks that the gate owns."""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

import anyio

from gatekeeper.errors import GatekeeperError, UnavailableError
from gatekeeper.ledger import Overrun
from gatekeeper.services.accounts import ReserveRequest
from gatekeeper.services.credits import Credits
from gatekeeper.services.owned import OwnedTasks
from gatekeeper.services.reservation import (
    PendingReservation,
    Reservation,
    capture_together,
)

logger = logging.getLogger("gatekeeper")

MAX_RENEWALS_AT_ONCE = 8
"""How many accounts are renewed side by side: fewer than a pool has connections."""


class HoldKeeper:
    """Makes holds that nobody forgets.

    Kept holds are renewed, so
    that slow work never outlives its hold. What could not be settled for want of the database is
    tried again as long as the hold lives.
    """

    def __init__(self, credits_: Credits, tasks: OwnedTasks, *, every_seconds: float) -> None:
        self._credits = credits_
        self._tasks = tasks
        self._every_seconds = every_seconds
        self._kept: set[Reservation] = set()
        self._late: dict[Reservation, bool] = {}

    def reserve(self, request: ReserveRequest, *, overrun: Overrun) -> PendingReservation:
        """A hold to be awaited, or to be used as a block: then it is renewed and settled here."""
        return PendingReservation(
            partial(self.make, request, overrun=overrun),
            settle=lambda reservation, failed: self.settle(reservation, failed=failed),
            entered=self.keep,
        )

    def reserve_in(
        self, session: object, request: ReserveRequest, *, overrun: Overrun
    ) -> PendingReservation:
        """As `reserve`, inside the host's transaction: all of it happens there, in this task."""

        async def make() -> Reservation:
            hold = await self._credits.reserve(request, session=session)
            return Reservation(self._credits, hold, overrun=overrun, session=session)

        return PendingReservation(
            make, settle=lambda reservation, failed: reservation.settle(failed=failed)
        )

    async def make(self, request: ReserveRequest, *, overrun: Overrun = "cap") -> Reservation:
        """Make a hold. If the caller is cancelled meanwhile, the hold is given back.

        Raises:
            NoGateError, ShuttingDownError: the gate is not open.
        """
        self._tasks.check()
        hold = await self._credits.reserve(request)
        return Reservation(self._credits, hold, overrun=overrun)

    def keep(self, reservation: Reservation) -> None:
        """Renew this hold until it is settled or forgotten.

        One that would not live until the second round is renewed at once, to the full time.
        """
        self._kept.add(reservation)
        life = reservation.hold.expires_at - reservation.hold.created_at
        if life.total_seconds() < 2 * self._every_seconds:
            self._tasks.leave(self._renew_soon(reservation))

    async def _renew_soon(self, reservation: Reservation) -> None:
        await self._renew(reservation)

    def forget(self, reservation: Reservation) -> None:
        """Stop renewing."""
        self._kept.discard(reservation)

    async def settle(self, reservation: Reservation, *, failed: bool) -> None:
        """Settle in a task of the gate's: the caller may be cancelled, the settlement is not.

        Raises:
            GatekeeperError: it was not settled. If the database was away, it is tried again later.
        """
        await self._tasks.run(self._settle(reservation, failed=failed))

    def settle_soon(self, held: Sequence[tuple[Reservation, bool]]) -> "asyncio.Task[None]":
        """Begin to settle each by itself, saying whether its work failed; returns the task.

        It never raises: what could not be settled is logged, and tried again later if the database
        was away.
        """
        return self._tasks.spawn(self._settle_each(tuple(held)), "gatekeeper settle")

    async def _settle_each(self, held: Sequence[tuple[Reservation, bool]]) -> None:
        for reservation, failed in held:
            try:
                await self._settle(reservation, failed=failed)
            except Exception:
                logger.exception(
                    "hold %s of %s was not settled", reservation.id, reservation.hold.customer
                )

    async def capture_together(self, reservations: Sequence[Reservation]) -> None:
        """Spend several holds in full, all of them or none, in a task of the gate's.

        Raises:
            GatekeeperError: nothing was spent, and all of it is given back.
        """
        await self._tasks.run(self._capture_together(reservations))

    async def _capture_together(self, reservations: Sequence[Reservation]) -> None:
        try:
            await capture_together(self._credits, reservations)
        except Exception:
            self._tasks.leave(self._settle_each([(held, True) for held in reservations]))
            raise
        for reservation in reservations:
            self.forget(reservation)

    async def _settle(self, reservation: Reservation, *, failed: bool) -> None:
        try:
            await reservation.settle(failed=failed)
        except UnavailableError:
            self._late[reservation] = failed
            raise
        finally:
            if reservation not in self._late:
                self.forget(reservation)

    async def run(self) -> None:
        """Renew and settle what is due, for ever."""
        while True:
            await asyncio.sleep(self._every_seconds)
            await self.settle_late()
            await self.renew()

    async def settle_late(self) -> None:
        """Try again what could not be settled; also when the gate closes."""
        late, self._late = self._late, {}
        for reservation, failed in late.items():
            try:
                await self._settle(reservation, failed=failed)
            except GatekeeperError as error:
                logger.warning("hold %s is not settled yet: %s", reservation.id, error.code)
            except Exception:
                logger.exception("hold %s can't be settled", reservation.id)

    async def renew(self) -> None:
        """Renew what is kept, once: accounts side by side, so that a locked one holds up no other;
        the holds of one account one after the other, since they wait for the same lock."""
        by_account: dict[tuple[str, str], list[Reservation]] = {}
        for reservation in self._kept:
            hold = reservation.hold
            by_account.setdefault((hold.customer, hold.unit), []).append(reservation)
        limiter = anyio.CapacityLimiter(MAX_RENEWALS_AT_ONCE)

        async def renew_account(reservations: Sequence[Reservation]) -> None:
            async with limiter:
                for reservation in reservations:
                    if not await self._renew(reservation):
                        return  # its lock can't be had: the others of the account wait for it too

        async with anyio.create_task_group() as group:
            for reservations in by_account.values():
                group.start_soon(renew_account, reservations)

    async def _renew(self, reservation: Reservation) -> bool:
        """Renew one hold, or forget it if it has ended; False if it has to be tried again."""
        try:
            if reservation.is_open:
                await reservation.extend()
                return True
        except UnavailableError as error:
            logger.warning("hold %s was not renewed yet: %s", reservation.id, error.code)
            return False
        except GatekeeperError as error:
            logger.warning("hold %s can't be renewed: %s", reservation.id, error.code)
        except Exception:
            logger.exception("hold %s was not renewed yet", reservation.id)
            return False
        self.forget(reservation)
        return True
