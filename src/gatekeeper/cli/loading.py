"""The host's gate: `billing:gate` is the object `gate` in the module `billing`."""

import importlib
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import anyio
import typer

from gatekeeper.errors import ConfigurationError
from gatekeeper.gate import Gatekeeper

T = TypeVar("T")

GateArgument = Annotated[
    str, typer.Argument(metavar="MODULE:GATE", help="Where the gate is, for example billing:gate.")
]


def load_gate(reference: str) -> Gatekeeper:
    """Import a gate by its reference; the current folder can be imported from.

    Raises:
        ConfigurationError: there is no such module or object, or it is no gate.
    """
    module_name, _, name = reference.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), *name.split("."))):
        raise ConfigurationError(f"{reference!r} is not of the form MODULE:GATE.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"There is no module {error.name!r} to import.") from error
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise ConfigurationError(f"{reference}: there is no {part!r}.") from error
    if not isinstance(found, Gatekeeper):
        raise ConfigurationError(f"{reference} is of {type(found).__name__}, and no Gatekeeper.")
    return found


def on_gate(reference: str, work: Callable[[Gatekeeper], Awaitable[T]]) -> T:
    """What `work` returns for a gate that has its database and cache meanwhile, and no background.

    Raises:
        ConfigurationError: as `load_gate`; and what `work` raises.
    """
    host = load_gate(reference)

    async def run() -> T:
        async with host.connected():
            return await work(host)

    return anyio.run(run)
