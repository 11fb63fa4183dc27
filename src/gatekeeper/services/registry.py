"""The registry: which functions of the host are called for what.

Staged like procrastinate's blueprints: functions are registered while modules are imported, twice
the same name is an error, and at the first call the registry is frozen, so that nothing can slip
past one that comes late.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from gatekeeper.errors import RegistrationError

E = TypeVar("E")
H = TypeVar("H", bound=Callable[[Any], Awaitable[None]])

MAX_NAME_CHARS = 255


@dataclass(frozen=True, slots=True)
class Registered(Generic[E]):
    """A handler under its name. The name is stored with each completion: keep it when you move
    the function, or it runs again for what it has handled."""

    name: str
    handler: Callable[[E], Awaitable[None]]


class Registry(Generic[E]):
    """Handlers by type."""

    what: ClassVar[str] = "event type"
    late: ClassVar[str] = "events are being dispatched"

    def __init__(self) -> None:
        self._handlers: dict[str, list[Registered[E]]] = {}
        self._names: set[str] = set()
        self._frozen = False

    def on(self, *types: str, name: str | None = None) -> Callable[[H], H]:
        """Register a handler for one or several types.

        Raises:
            RegistrationError: no type is given, the name is taken, the handler is no coroutine
                function, or it comes too late.
        """
        if not types:
            raise RegistrationError(f"on() needs at least one {self.what}.")
        for type_ in types:
            self._check_type(type_)

        def register(handler: H) -> H:
            registered = self._add(handler, name)
            for type_ in dict.fromkeys(types):
                self._handlers.setdefault(type_, []).append(registered)
            return handler

        return register

    def freeze(self) -> None:
        """Take no more handlers from here on."""
        self._frozen = True

    def handlers_of(self, type_: str) -> tuple[Registered[E], ...]:
        """The handlers of a type, in order."""
        return tuple(self._handlers.get(type_, ()))

    @property
    def types(self) -> frozenset[str]:
        """The types that have a handler."""
        return frozenset(self._handlers)

    def _check_type(self, type_: object) -> None:
        if not isinstance(type_, str) or not type_ or type_ != type_.strip():
            raise RegistrationError(f"{type_!r} is no {self.what}.")

    def _add(self, handler: Callable[[E], Awaitable[None]], name: str | None) -> Registered[E]:
        named, called = _unwrapped(handler)
        if name is None:
            name = f"{named.__module__}.{named.__qualname__}"
        if not inspect.iscoroutinefunction(called):
            raise RegistrationError(f"{name} is no coroutine function: write `async def`.")
        if self._frozen:
            raise RegistrationError(
                f"{name} comes too late: {self.late}. Register every handler before the app starts."
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
