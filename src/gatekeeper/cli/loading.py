"""Finding the host's gate: `billing:gate` is the object `gate` in the module `billing`."""

import importlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from gatekeeper.errors import ConfigurationError
from gatekeeper.gate import Gatekeeper

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
