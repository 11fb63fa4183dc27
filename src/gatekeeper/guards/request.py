"""The running request: who asks, what is held for them, and how that is settled.

The middleware opens one `RequestState` for each request and connection; guards and `reserve` find
it by a context variable, so that no handler needs a `request` parameter.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import anyio.to_thread
from starlette.requests import HTTPConnection

from gatekeeper.entitlements import Entitlements
from gatekeeper.errors import (
    ConfigurationError,
    GatekeeperError,
    InvalidIdError,
    NoGateError,
    ShuttingDownError,
    UnauthenticatedError,
)
from gatekeeper.services.reservation import Reservation
from gatekeeper.types import MAX_ID_CHARS, Identity, check_id

if TYPE_CHECKING:
    from gatekeeper.gate import Gatekeeper

logger = logging.getLogger("gatekeeper")

Scope = MutableMapping[str, Any]

RunSync = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a synchronous handler beside the event loop."""

running: ContextVar["RequestState"] = ContextVar("gatekeeper_request")
"""The running request; the middleware sets it."""


def current() -> "RequestState":
    """The state of the running request.

    Raises:
        NoGateError: there is none: the middleware is not installed, or this is not a request.
    """
    try:
        return running.get()
    except LookupError:
        raise NoGateError(
            "No gate is bound to the running request. Install the middleware (for FastAPI: "
            "gatekeeper_fastapi.install(app, gate)), or call the gate's own methods."
        ) from None


def identity_of(found: object) -> Identity:
    """What the host's function under `gate.identify` has returned, made an identity.

    Raises:
        UnauthenticatedError: nobody is signed in.
        InvalidIdError: the host named a customer by an id that can't be one.
        ConfigurationError: what it returned is no identity at all.
    """
    if found is None:
        raise UnauthenticatedError("Sign in to do this.")
    if not isinstance(found, str):
        raise ConfigurationError(
            f"The function under gate.identify returned {type(found).__name__}; it has to return "
            "an Identity, a customer id as a string, or None."
        )
    return Identity(found)


class RequestState:
    """One HTTP request or websocket connection under a gate.

    Attributes:
        gate: the gate that the app was installed with.
        scope: the ASGI scope (https://asgi.readthedocs.io/en/latest/specs/www.html).
        denial: the error by which a guard has refused the request.
        run_sync: how this framework runs synchronous handlers; an adapter may set it.
        ended: the request is over; what it held has been given to the gate to settle.
        holds: whether anything is held for this request, or is still being settled. An attribute
            and no property: it is looked at for each message that is sent.
    """

    # Defaults of the class, so that making one for each request sets only what differs.
    run_sync: RunSync = staticmethod(anyio.to_thread.run_sync)
    denial: GatekeeperError | None = None
    _identity: Identity | None = None
    _fixed: tuple[Reservation, ...] = ()
    _metered: tuple[tuple[Reservation, bool], ...] = ()
    _settling: "tuple[asyncio.Task[None], ...]" = ()
    ended: bool = False

    def __init__(self, gate: "Gatekeeper", scope: Scope) -> None:
        self.gate = gate
        self.scope = scope
        self.holds = False

    # -- who asks ---------------------------------------------------------------------------------

    async def identity(self) -> Identity:
        """Who is asking, by the host's own authentication, asked once.

        Raises:
            UnauthenticatedError, InvalidIdError, ConfigurationError: see `identity_of`.
            NoGateError: the host has not said how to tell.
        """
        known = self._identity
        if known is None:
            found: Any = self.gate.ask_who(HTTPConnection(self.scope))
            if hasattr(found, "__await__"):  # far quicker than inspect.isawaitable
                found = await found
            known = found if isinstance(found, Identity) else identity_of(found)
            self._identity = known
        return known

    def refused(self, error: GatekeeperError) -> None:
        """Note the error by which a guard, or a `reserve`, has refused the request."""
        self.denial = error
        if self._identity is not None:
            self.gate.denials.note(self._identity.customer, error)

    async def entitlements(self) -> Entitlements:
        """What the customer may use."""
        customer = (await self.identity()).customer
        held = self.gate.peek(customer)
        return await self.gate.entitlements(customer) if held is None else held

    @property
    def route(self) -> str:
        """Method and path, as what a hold refers to: fit for any database and log."""
        path = quote(self.scope.get("path", ""), safe="/", errors="replace")
        return f"{self.scope.get('method', 'WEBSOCKET')} {path}"[:MAX_ID_CHARS].strip()

    def idempotency_key(self, name: str) -> str | None:
        """The client's Idempotency-Key for what `name` costs, as a key of ours.

        It is hashed: a header may be as long as our ids and hold what they must not. One request
        may pay for the same thing twice, under two guards, so that their number is part of it.

        Raises:
            InvalidIdError: the header is empty, too long, holds control characters or comes twice.
        """
        sent = [
            value
            for header, value in self.scope.get("headers", ())
            if header.lower() == b"idempotency-key"
        ]
        if not sent:
            return None
        if len(sent) > 1:
            raise InvalidIdError("The Idempotency-Key header comes more than once.")
        client_key = check_id(sent[0].decode("latin-1"), "Idempotency-Key")
        parts = (self.route, name, str(len(self._fixed)), client_key)
        return f"http:{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()}"

    # -- what is held -----------------------------------------------------------------------------

    def hold_fixed(self, reservation: Reservation) -> None:
        """A cost known beforehand: settled when the response starts, by its status."""
        self._keep(reservation)
        self._fixed += (reservation,)

    def hold_metered(self, reservation: Reservation) -> None:
        """A cost counted on the way: settled at the end of the body, or at the disconnect."""
        self._keep(reservation)
        self._metered += ((reservation, False),)

    def hold_in_block(self, reservation: Reservation) -> None:
        """A cost of an `async with` block, which settles it. A block that has not come to its end
        when the request does (a stream that nobody reads on) has failed."""
        self._keep(reservation)
        self._metered += ((reservation, True),)

    def _keep(self, reservation: Reservation) -> None:
        if self.ended:
            _ = self.gate.keeper.settle_soon([(reservation, True)])
            raise NoGateError(
                "The request is over, and with it what could settle this hold. Work that outlives "
                "its request reserves by the gate: async with gate.reserve(customer, ...)."
            )
        self.gate.keeper.keep(reservation)
        self.holds = True

    async def settle_fixed(self, *, succeeded: bool) -> None:
        """Settle the fixed costs: capture them after success, else release them.

        Raises:
            GatekeeperError: they could not be captured; none was.
        """
        fixed, self._fixed = self._fixed, ()
        if not fixed:
            return
        if succeeded:
            await self.gate.keeper.capture_together(fixed)
        else:
            self._settle_soon([(held, True) for held in fixed])
        await self._settled()

    def settle_soon(self, *, failed: bool) -> None:
        """Begin to settle all that is left, without waiting: the request may be cancelled.

        What can't be settled stays held until it can, or until it expires.
        """
        left = [(held, failed) for held in self._fixed]
        left += [(held, failed or in_block) for held, in_block in self._metered]
        self._fixed, self._metered = (), ()
        if left:
            self._settle_soon(left)

    async def settle(self, *, failed: bool) -> None:
        """As `settle_soon`, and wait until nothing of this request is held any more.

        The waiting may be cancelled. Somebody else may have begun to settle, at a disconnect that
        ended the stream before the settlement was done: that is waited for too.
        """
        self.settle_soon(failed=failed)
        await self._settled()

    def _settle_soon(self, held: Sequence[tuple[Reservation, bool]]) -> None:
        try:
            self._settling += (self.gate.keeper.settle_soon(held),)
        except (NoGateError, ShuttingDownError):
            logger.exception("the holds of %s are left to expire", self.route)

    async def _settled(self) -> None:
        if self._settling:
            await asyncio.wait(self._settling)  # which leaves them alone when this is cancelled
            self._settling = tuple(task for task in self._settling if not task.done())
        self.holds = bool(self._fixed or self._metered or self._settling)
