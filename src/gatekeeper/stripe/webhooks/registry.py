"""Which handlers of the host run for which of Stripe's events."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from gatekeeper.errors import RegistrationError
from gatekeeper.services.registry import MAX_NAME_CHARS, Registry
from gatekeeper.services.registry import Registered as AnyRegistered
from gatekeeper.stripe.webhooks.event import WebhookEvent, snapshot_type

WebhookHandler = Callable[[WebhookEvent], Awaitable[None]]
Registered = AnyRegistered[WebhookEvent]
W = TypeVar("W", bound=WebhookHandler)


class WebhookRegistry(Registry[WebhookEvent]):
    """Handlers by event type ("invoice.paid", say), and a fallback for types that have none.

    Handlers of one type run in the order of registration, each at least once for each event, after
    the projection has been committed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._fallback: Registered | None = None

    def fallback(self, handler: W) -> W:
        """Register the one handler for events that have no other.

        Raises:
            RegistrationError: there is one already, it is no coroutine function, or dispatch has
                begun.
        """
        if self._fallback is not None:
            raise RegistrationError(f"{self._fallback.name} is the fallback already.")
        self._fallback = self._add(handler, None)
        return handler

    def handlers_of(self, type_: str) -> tuple[Registered, ...]:
        """The handlers of an event type, in order; of a thin event, those of its snapshot too."""
        found = [*super().handlers_of(type_)]
        snapshot = snapshot_type(type_)
        if snapshot != type_:
            found += [one for one in super().handlers_of(snapshot) if one not in found]
        if found:
            return tuple(found)
        return () if self._fallback is None else (self._fallback,)


__all__ = ["MAX_NAME_CHARS", "Registered", "WebhookHandler", "WebhookRegistry"]
