"""`python -m benchmarks [name ...]`: run the benchmark modules and print their tables."""

import importlib
import os
import pkgutil
import platform
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

import benchmarks
from benchmarks.table import render

_HELPERS: Final = {"__main__", "table"}


def main(arguments: Sequence[str]) -> int:
    """Run the named benchmarks, all without a name. Returns the exit status."""
    found = sorted(
        module.name
        for module in pkgutil.iter_modules(benchmarks.__path__)
        if module.name not in _HELPERS and not module.name.startswith("_")
    )
    unknown = [name for name in arguments if name not in found]
    if unknown:
        print(f"No benchmark named {', '.join(unknown)}. There are: {', '.join(found)}.")
        return 2
    print(f"Python {platform.python_version()} on {platform.machine()}, {os.cpu_count()} CPUs")
    for name in arguments or found:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"\n{render(_title(module), module.run())}", flush=True)
    return 0


def _title(module: ModuleType) -> str:
    """The first line of the module's docstring."""
    return (module.__doc__ or module.__name__).strip().splitlines()[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
