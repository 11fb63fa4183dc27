"""Stripe's operations as values: method, path, parameters, and the function that does it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from gatekeeper.testing.stripe.core.params import Fields
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.expand import Expander
from gatekeeper.testing.stripe.listing import page
from gatekeeper.testing.stripe.state import State

Method = Literal["GET", "POST", "DELETE"]

Handler = Callable[..., Obj]
"""Called as `handler(state, params, *ids of the path)`; answers the object as stored."""

NOTHING = Fields({})


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API."""

    method: Method
    path: str
    params: Fields
    handler: Handler

    def pattern(self) -> re.Pattern[str]:
        """The path as a regular expression with one group for each `{id}`."""
        return re.compile(re.sub(r"\{\w+\}", r"([^/]+)", self.path))

    def __call__(self, state: State, params: dict[str, Any], ids: tuple[str, ...]) -> Obj:
        """Do it."""
        return self.handler(state, params, *ids)


class Api:
    """The operations and the expansions, as the resource files declare them."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.expander = Expander()

    def add(self, method: Method, path: str, handler: Handler, params: Fields = NOTHING) -> None:
        """Declare an operation; a literal path wins over one with ids when it comes first."""
        self.operations.append(Operation(method, path, params, handler))


def one_of(kind: str) -> Handler:
    """The handler that answers one object of a kind."""

    def handler(state: State, params: dict[str, Any], identifier: str) -> Obj:
        return state.store.need(kind, identifier)

    return handler


def listed(kind: str, path: str, *names: str) -> Handler:
    """The handler that lists a kind; the parameters `names` narrow it by fields of that name."""

    def handler(state: State, params: dict[str, Any]) -> Obj:
        exact = {name: params[name] for name in names if params.get(name) is not None}
        return page(path, state.store.where(kind, **exact), params)

    return handler
