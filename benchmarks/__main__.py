"""`python -m benchmarks [--quick] [name ...]`: run the benchmark modules and print their tables."""

import importlib
import os
import pkgutil
import platform
import sys
import traceback
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Final

import benchmarks
from benchmarks._pace import QUICK_VARIABLE
from benchmarks.table import Table, render

_HELPERS: Final = {"__main__", "table"}
_QUICK: Final = "--quick"


def main(arguments: Sequence[str]) -> int:
    """Run the named benchmarks, all without a name. Returns the exit status."""
    found = sorted(
        module.name
        for module in pkgutil.iter_modules(benchmarks.__path__)
        if module.name not in _HELPERS and not module.name.startswith("_")
    )
    names = [argument for argument in arguments if argument != _QUICK]
    if _QUICK in arguments:
        os.environ[QUICK_VARIABLE] = "1"
    unknown = [name for name in names if name not in found]
    if unknown:
        print(f"No benchmark named {', '.join(unknown)}. There are: {', '.join(found)}.")
        return 2
    failed = False
    print(f"Python {platform.python_version()} on {platform.machine()}, {os.cpu_count()} CPUs")
    for name in names or found:
        try:
            for table in _tables(importlib.import_module(f"benchmarks.{name}")):
                print(f"\n{render(table.title, table.rows)}", flush=True)
        except Exception:  # noqa: BLE001 - told in full, and the others are measured all the same
            print(f"\n{name} failed:\n{traceback.format_exc()}", flush=True)
            failed = True
    return 1 if failed else 0


def _tables(module: ModuleType) -> Iterable[Table]:
    """Each table as soon as it is measured."""
    if hasattr(module, "tables"):
        yield from module.tables()
    else:
        yield Table(_title(module), module.run())


def _title(module: ModuleType) -> str:
    """The first line of the module's docstring."""
    return (module.__doc__ or module.__name__).strip().splitlines()[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
