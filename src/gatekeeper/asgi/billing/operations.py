"""An operation of the billing API as a value: what it is asked, what it answers, and who may ask.

The routes and the OpenAPI document are both made from these, so that neither can say what the other
does not.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypeVar

from gatekeeper.asgi.billing.tags import tag_of
from gatekeeper.errors import ConfigurationError, GatekeeperError
from gatekeeper.types import Identity

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

Audience = Literal["customer", "back_office", "public"]
"""Who may ask: whom `gate.identify` names, whom the host's authorisation of the back office names,
or anybody."""

B = TypeVar("B", default=Any)
Q = TypeVar("Q", default=Any)

WRITING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
"""The methods that change something (RFC 9110, 9.2.1)."""


class Empty(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A body or a query without any field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[B, Q]):
    """One request that has passed all checks but those of its own operation.

    Attributes:
        body, query: decoded and checked.
        path: the parameters of the path, each fit to be an id.
        idempotency_key: ours, made of the client's key, of who asks and of what; None if the client
            sent none. Handlers hand it on.
        is_repeat: the same was asked under the same key before, and may have been done.
        identity: who asks; None where anybody may, and in the back office.
        actor: who acts, in the back office.
    """

    request: Request
    body: B
    query: Q
    path: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None
    is_repeat: bool = False
    identity: Identity | None = None
    actor: str | None = None

    @property
    def customer(self) -> str:
        """The customer who asks.

        Raises:
            ConfigurationError: the operation is for others.
        """
        if self.identity is None:
            raise ConfigurationError("This operation has no customer.")
        return self.identity.customer


Handler = Callable[[Call[Any, Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Attributes:
        path: below the prefix, with `{names}`.
        handler: answers a struct of the type `answer`, or a response of its own.
        summary: one line, for the document.
        body: None takes no body at all; `Empty` takes `{}`.
        answer: None is an empty answer, or what `media_type` names.
        errors: what it may raise beside what every operation may.
        media_types: of answers that are not JSON.
    """

    method: Method
    path: str
    handler: Handler
    summary: str = field(kw_only=True)
    body: type[msgspec.Struct] | None = field(default=None, kw_only=True)
    query: type[msgspec.Struct] = field(default=Empty, kw_only=True)
    answer: Any = field(default=None, kw_only=True)
    status: int = field(default=200, kw_only=True)
    errors: tuple[type[GatekeeperError], ...] = field(default=(), kw_only=True)
    audience: Audience = field(default="customer", kw_only=True)
    media_types: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def tag(self) -> str:
        """The heading under which the document has it."""
        return tag_of(self.path)

    @property
    def name(self) -> str:
        """The operation's id: its method and its path, in words."""
        words = [word.strip("{}").replace("-", "_") for word in self.path.split("/") if word]
        return "_".join([self.method.lower(), *(word.replace(".", "_") for word in words)])

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        return self.method in WRITING


Answer = msgspec.Struct | Response | None
"""What a handler may return."""
