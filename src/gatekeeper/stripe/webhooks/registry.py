"""The registry: which handlers of the host run for which events.

Staged like procrastinate's blueprints: handlers are registered while modules are imported, twice
the same name is an error, and at the first dispatch the registry is frozen, so that no event can
slip past a handler that comes late.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from gatekeeper.errors import RegistrationError
from gatekeeper.stripe.webhooks.event import WebhookEvent, snapshot_type

WebhookHandler = Callable[[WebhookEvent], Awaitable[None]]
W = TypeVar("W", bound=WebhookHandler)

MAX_NAME_CHARS = 255


@dataclass(frozen=True, slots=True)
class Registered:
    """A handler under its name. The name is stored with each completion: keep it when you move
    the function, or it runs again for events that it has handled."""

    name: str
    handler: WebhookHandler


class WebhookRegistry:
    """Handlers by event type, and a fallback for types that have none."""

    def __init__(self) -> None:
        self._handlers: dict[str, list[Registered]] = {}
        self._fallback: Registered | None = None
        self._names: set[str] = set()
        self._frozen = False

    def on(self, *types: str, name: str | None = None) -> Callable[[W], W]:
        """Register a handler for one or several event types, for example "invoice.paid".

        Handlers of one type run in the order of registration, each at least once for each event,
        after the projection has been committed.

        Raises:
            RegistrationError: no type is given, the name is taken, the handler is no coroutine
                function, or dispatch has begun.
        """
        if not types:
            raise RegistrationError("on() needs at least one event type.")
        for type_ in types:
            if not isinstance(type_, str) or not type_ or type_ != type_.strip():
                raise RegistrationError(f"{type_!r} is no event type.")

        def register(handler: W) -> W:
            registered = self._add(handler, name)
            for type_ in dict.fromkeys(types):
                self._handlers.setdefault(type_, []).append(registered)
            return handler

        return register

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

    def freeze(self) -> None:
        """Take no more handlers from here on."""
        self._frozen = True

    def handlers_of(self, type_: str) -> tuple[Registered, ...]:
        """The handlers of an event type, in order; of a thin event, those of its snapshot too."""
        found = [*self._handlers.get(type_, ())]
        snapshot = snapshot_type(type_)
        if snapshot != type_:
            found += [one for one in self._handlers.get(snapshot, ()) if one not in found]
        if found:
            return tuple(found)
        return () if self._fallback is None else (self._fallback,)

    @property
    def types(self) -> frozenset[str]:
        """The event types that have a handler."""
        return frozenset(self._handlers)

    def _add(self, handler: WebhookHandler, name: str | None) -> Registered:
        named, called = _unwrapped(handler)
        if name is None:
            name = f"{named.__module__}.{named.__qualname__}"
        if not inspect.iscoroutinefunction(called):
            raise RegistrationError(f"{name} is no coroutine function: write `async def`.")
        if self._frozen:
            raise RegistrationError(
                f"{name} comes too late: events are being dispatched. Register every handler "
                "before the app starts."
            )
        if not name or len(name) > MAX_NAME_CHARS:
            raise RegistrationError(f"A handler's name has 1 to {MAX_NAME_CHARS} characters.")
        if name in self._names:
            raise RegistrationError(
                f"{name} is registered twice. Give one of them another name=, or remove it."
            )
        self._names.add(name)
        return Registered(name, handler)


def _unwrapped(handler: Any) -> tuple[Any, Any]:
    """What a handler is named by, and the function that is called: a partial stands for what it
    wraps, and an object that can be called for its class."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    if hasattr(handler, "__qualname__"):
        return handler, handler
    return type(handler), type(handler).__call__
