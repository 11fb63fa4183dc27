"""The running request: who asks, what is held for them, and how that is settled.

The middleware opens one `RequestState` for each request and connection; guards and `reserve` find
it by a context variable, so that no handler needs a `request` parameter.
"""

import hashlib
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.requests import HTTPConnection

from gatekeeper.entitlements import Entitlements
from gatekeeper.errors import GatekeeperError, NoGateError, UnauthenticatedError
from gatekeeper.services.reservation import Reservation
from gatekeeper.types import Identity, check_id

if TYPE_CHECKING:
    from gatekeeper.gate import Gatekeeper

logger = logging.getLogger("gatekeeper")

Scope = dict[str, Any]

_running: ContextVar["RequestState"] = ContextVar("gatekeeper_request")


def current() -> "RequestState":
    """The state of the running request.

    Raises:
        NoGateError: there is none: the middleware is not installed, or this is not a request.
    """
    try:
        return _running.get()
    except LookupError:
        raise NoGateError(
            "No gate is bound to the running request. Install the middleware (for FastAPI: "
            "gatekeeper_fastapi.install(app, gate)), or call the gate's own methods."
        ) from None


async def identify(gate: "Gatekeeper", connection: HTTPConnection) -> Identity:
    """Who is asking, by the host's own authentication.

    Raises:
        UnauthenticatedError: nobody is signed in.
        InvalidIdError: the host named a customer by an id that can't be one.
    """
    found = await gate.identify_connection(connection)
    if found is None:
        raise UnauthenticatedError("Sign in to do this.")
    return found if isinstance(found, Identity) else Identity(found)


class RequestState:
    """One HTTP request or websocket connection under a gate.

    Attributes:
        gate: the gate that the app was installed with.
        scope: the ASGI scope (https://asgi.readthedocs.io/en/latest/specs/www.html).
    """

    def __init__(self, gate: "Gatekeeper", scope: Scope) -> None:
        self.gate = gate
        self.scope = scope
        self._identity: Identity | None = None
        self._fixed: list[Reservation] = []
        self._metered: list[Reservation] = []

    def bind(self) -> Callable[[], None]:
        """Make this the running request; returns the function that undoes it."""
        token = _running.set(self)
        return lambda: _running.reset(token)

    async def identity(self) -> Identity:
        """Who is asking, by the host's own authentication, asked once.

        Raises:
            UnauthenticatedError: nobody is signed in.
            InvalidIdError: the host named a customer by an id that can't be one.
        """
        if self._identity is None:
            self._identity = await identify(self.gate, HTTPConnection(self.scope))
        return self._identity

    async def entitlements(self) -> Entitlements:
        """What the customer may use."""
        customer = (await self.identity()).customer
        return self.gate.peek(customer) or await self.gate.entitlements(customer)

    @property
    def route(self) -> str:
        """Method and path, as what a hold refers to."""
        return f"{self.scope.get('method', 'WEBSOCKET')} {self.scope.get('path', '')}"[:255]

    def idempotency_key(self, name: str) -> str | None:
        """The client's Idempotency-Key for what `name` costs, as a key of ours.

        It is hashed: a header may be as long as our ids and hold what they must not.

        Raises:
            InvalidIdError: the header is empty, too long or holds control characters.
        """
        for header, value in self.scope.get("headers", ()):
            if header.lower() == b"idempotency-key":
                client_key = check_id(value.decode("latin-1"), "Idempotency-Key")
                digest = hashlib.sha256(f"{self.route}\n{name}\n{client_key}".encode()).hexdigest()
                return f"http:{digest}"
        return None

    def hold_fixed(self, reservation: Reservation) -> None:
        """A cost known beforehand: settled when the response starts, by its status."""
        self.gate.keeper.keep(reservation)
        self._fixed.append(reservation)

    def hold_metered(self, reservation: Reservation) -> None:
        """A cost counted on the way: settled at the end of the body, or at the disconnect."""
        self.gate.keeper.keep(reservation)
        self._metered.append(reservation)

    async def response_starts(self, *, succeeded: bool) -> None:
        """Settle the fixed costs: capture them after success, else release them."""
        fixed, self._fixed = self._fixed, []
        if fixed:
            await self._start(fixed, failed=not succeeded)()

    def abandon(self, *, failed: bool = True) -> Callable[[], Awaitable[None]] | None:
        """Begin to settle all that is left, without waiting: the request may be cancelled.

        Returns what waits for it, or None if nothing was left.
        """
        left, self._fixed, self._metered = [*self._fixed, *self._metered], [], []
        return self._start(left, failed=failed) if left else None

    def _start(
        self, reservations: list[Reservation], *, failed: bool
    ) -> Callable[[], Awaitable[None]]:
        return self.gate.tasks.spawn(partial(self._settle, reservations, failed=failed))

    async def _settle(self, reservations: list[Reservation], *, failed: bool) -> None:
        """Settle each by itself, so that one failure leaves no other hold behind; then raise it.

        What could not be settled stays held until it expires.
        """
        failure: GatekeeperError | None = None
        for reservation in reservations:
            self.gate.keeper.forget(reservation)
            try:
                await reservation.settle(failed=failed)
            except GatekeeperError as error:
                logger.exception(
                    "hold %s of %s was not settled", reservation.id, reservation.hold.customer
                )
                failure = error
        if failure is not None:
            raise failure
