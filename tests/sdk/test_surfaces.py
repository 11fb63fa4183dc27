"""The synchronous face has what the gate has, so that neither is forgotten when the other grows."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import pytest

from gatekeeper import Gatekeeper, SyncGatekeeper

RENAMED: Final[Mapping[str, str]] = {"hold": "find_hold"}
"""There, `hold` makes one: the `await gate.reserve(...)` of those who cannot await."""

ASYNC_ONLY: Final[Mapping[str, str]] = {
    "lifespan": "an ASGI server calls it; `with SyncGatekeeper(gate)` opens the gate",
    "connected": "`with SyncGatekeeper(gate)` opens the gate",
    "work_once": "opens and closes the gate itself, on any loop: asyncio.run(gate.work_once())",
}

NOT_TAKEN: Final[Mapping[str, frozenset[str]]] = {
    # A block cannot be split between the gate's loop and the thread of the host's session.
    "reserve": frozenset({"session"}),
}
"""Parameters that the synchronous twin does without: `hold` and `capture` take a session."""

SYNC_ONLY: Final[Mapping[str, str]] = {
    "ensure_customer": "gate.customers.ensure, which everybody needs",
    "hold": "see RENAMED",
    "call": "reaches the asynchronous methods of the gate's parts: gate.customers, gate.events",
}


def public(face: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, member in inspect.getmembers(face, inspect.isfunction):
        if not name.startswith("_"):
            yield name, member


def is_waited_for(function: Callable[..., Any]) -> bool:
    """Whether it is awaited, or used with `async with`, on the gate's loop."""
    if inspect.iscoroutinefunction(function) or hasattr(function, "__wrapped__"):
        return True
    return "Pending" in str(inspect.signature(function).return_annotation)


AWAITED: Final = {name: one for name, one in public(Gatekeeper) if is_waited_for(one)}
SYNCHRONOUS: Final = dict(public(SyncGatekeeper))


def parameters(function: Callable[..., Any]) -> dict[str, tuple[Any, Any, Any]]:
    found = inspect.signature(function).parameters.values()
    return {one.name: (one.kind, one.default, one.annotation) for one in found}


def test_what_is_compared_is_all_there_is() -> None:
    """Should this way of finding what is awaited break, nothing would be compared."""
    for name in ("allows", "reserve", "grant", "checkout", "owe_transfer", "lifespan", "work"):
        assert name in AWAITED
    assert "on" not in AWAITED  # what is registered is registered on the gate


@pytest.mark.parametrize("name", sorted(AWAITED))
def test_what_the_gate_does_can_be_done_without_async(name: str) -> None:
    if name in ASYNC_ONLY:
        assert name not in SYNCHRONOUS, "it is there: take it off the list"
        return
    twin = SYNCHRONOUS[RENAMED.get(name, name)]
    wanted = parameters(AWAITED[name])
    for left_out in NOT_TAKEN.get(name, ()):
        del wanted[left_out]
    assert parameters(twin) == wanted


def test_what_is_there_without_async_is_of_the_gate() -> None:
    known = {RENAMED.get(name, name) for name in AWAITED} | set(SYNC_ONLY)
    assert set(SYNCHRONOUS) <= known
    assert set(ASYNC_ONLY) <= set(AWAITED)
    assert set(SYNC_ONLY) <= set(SYNCHRONOUS)
