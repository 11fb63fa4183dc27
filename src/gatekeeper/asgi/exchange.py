"""One request or connection on its way through the middleware."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Iterator

from gatekeeper.asgi.types import Message, Receive, Scope, Send
from gatekeeper.errors import (
    ConfigurationError,
    GatekeeperError,
    HoldEndedError,
    UnavailableError,
)
from gatekeeper.gate import Gatekeeper
from gatekeeper.guards.request import RequestState

logger = logging.getLogger("gatekeeper")


class Exchange(RequestState, ABC):
    """The state of one request or connection, and how far its answer has come.

    One object for both: one is made for every request.

    Attributes:
        started: an answer has begun; it can't be replaced by an error any more.
        succeeded: the answer has been given whole and well: only then is a hold on which nothing
            was recorded captured.
        gone: the other side has left, so that nobody hears an error.
        refusal: the error that took the place of the app's own answer.
    """

    # Defaults of the class, as those of the state.
    started = False
    succeeded = False
    gone = False

    def __init__(self, gate: Gatekeeper, scope: Scope, receive: Receive, send: Send) -> None:
        self.gate = gate  # not by super().__init__: that call costs as much as all of this
        self.scope = scope
        self.holds = False
        self.refusal: GatekeeperError | None = None
        self._receive = receive
        self._send = send

    async def failed(self, error: Exception) -> None:
        """The app has raised: settle, and answer if the error is one of ours; else raise it on."""
        await self.conclude()
        ours = _ours(error)
        if ours is not None:
            await self.answer(ours)
        elif not self._is_expected(error):
            raise error

    @abstractmethod
    async def receive(self) -> Message:
        """What the app receives by."""

    @abstractmethod
    def send(self, message: Message) -> Awaitable[None]:
        """What the app sends by."""

    @abstractmethod
    async def answer(self, error: GatekeeperError) -> None:
        """Answer with an error that the app has left to us; raise it if that is too late."""

    @abstractmethod
    async def refuse(self, error: GatekeeperError) -> None:
        """Send an error as the answer."""

    async def conclude(self) -> None:
        """Settle all that is held, by what has become of the answer."""
        await self.settle(failed=not self.succeeded)

    def conclude_soon(self) -> None:
        """As `conclude`, without waiting."""
        self.settle_soon(failed=not self.succeeded)

    def _is_expected(self, error: Exception) -> bool:
        """Whether an app only passes on what we have told it: that it was refused, or that the
        other side is gone and nothing more can be recorded."""
        return any(
            cause is self.refusal or (self.gone and isinstance(cause, HoldEndedError))
            for cause in _causes(error)
        )

    async def charge(self) -> None:
        """Capture the fixed costs; if that fails, refuse in place of the app's answer.

        What can't be charged is not given: the app sees the error too, so that it goes no further,
        and whatever it sends afterwards is dropped.
        """
        try:
            await self.settle_fixed(succeeded=True)
        except Exception as error:
            logger.exception("%s was refused: it could not be charged", self.route)
            self.refusal = _fit_to_show(error)
            await self.refuse(self.refusal)
            raise self.refusal from error


def _fit_to_show(error: Exception) -> GatekeeperError:
    """A charge that failed is no fault of the client's, who may try again; a fault of the host's
    set-up is shown as such."""
    if isinstance(error, UnavailableError | ConfigurationError):
        return error
    return UnavailableError("This could not be charged, so that it was not done. Try again.")


def _ours(error: Exception) -> GatekeeperError | None:
    """An error of ours, be it all that a task group of the host's has failed with."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, GatekeeperError) else None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and all that it came from: a framework may have wrapped ours in its own."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                yield from _causes(inner)
        error = error.__cause__ or error.__context__
