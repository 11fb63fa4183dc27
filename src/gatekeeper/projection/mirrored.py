"""From Stripe's objects of all kinds to what is kept of them: their head, and a few facts.

What is read of each kind is in `shapes.py`. The head is read as strictly as everywhere; a fact, or
an object inside, that is not as it must be is left out, for no decision stands on it, and the
decisions that are made in the same transaction may not wait for it.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import msgspec

from gatekeeper.errors import ProjectionError
from gatekeeper.projection.reading import Node
from gatekeeper.projection.shapes import SHAPES, Facts, Shape

_STRIPES: Final = "customer"
"""The kind that is its own customer."""


class Mirrored(msgspec.Struct, frozen=True, kw_only=True):
    """An object as Stripe has it now. `parent` is "kind/id"."""

    kind: str
    id: str
    stripe_customer: str | None
    parent: str | None
    status: str | None
    amount_minor: int | None
    currency: str | None
    created_at: datetime | None
    facts: Facts
    final: bool


def project_mirrored(value: Mapping[str, object], kind: str) -> Mirrored:
    """Read an object of a kind of `SHAPES`, of any API version, without what is inside it.

    Raises:
        ProjectionError: naming the place that is not as it must be.
    """
    return _read(Node.root(value, kind), kind, None)


def project_copies(value: Mapping[str, object], kind: str) -> tuple[Mirrored, ...]:
    """Read an object, and those that the fetch has brought along inside it, after it.

    Raises:
        ProjectionError: naming the place that is not as it must be.
    """
    return tuple(_read_all(Node.root(value, kind), kind, None))


def _read_all(node: Node, kind: str, holder: str | None) -> Iterator[Mirrored]:
    own = _read(node, kind, holder)
    yield own
    for field, inner in SHAPES[kind].inside:
        for found in _inside(node, field):
            with suppress(ProjectionError):
                if found.word("object") == inner:
                    yield from list(_read_all(found, inner, f"{kind}/{own.id}"))


def _inside(node: Node, field: str) -> list[Node]:
    with suppress(ProjectionError):
        return node.objects(field)
    return []


def _read(root: Node, kind: str, holder: str | None) -> Mirrored:
    shape = SHAPES[kind]
    status = root.maybe_word(shape.status)
    own = root.word("id")
    return Mirrored(
        kind=kind,
        id=own,
        stripe_customer=own if kind == _STRIPES else root.maybe_reference("customer"),
        parent=_parent(root, shape) or holder,
        status=status,
        amount_minor=None if shape.amount is None else root.maybe_whole(shape.amount),
        currency=root.maybe_word("currency"),
        created_at=root.maybe_moment("created"),
        facts=_facts(root, shape),
        final=status in shape.final,
    )


def _parent(root: Node, shape: Shape) -> str | None:
    for path, kind in shape.parents:
        node, field = _at(root, path)
        found = None if node is None else node.maybe_reference(field)
        if found is not None:
            return f"{kind}/{found}"
    return None


def _facts(root: Node, shape: Shape) -> Facts:
    found: dict[str, Any] = {}
    readers = (
        (shape.words, Node.maybe_word),
        (shape.references, Node.maybe_reference),
        (shape.wholes, Node.maybe_whole),
        (shape.flags, Node.maybe_flag),
        (shape.moments, Node.maybe_moment),
    )
    for paths, read in readers:
        for path in paths:
            with suppress(ProjectionError):
                node, field = _at(root, path)
                value = None if node is None else read(node, field)
                if value is not None:
                    found[path] = value
    if shape.more is not None:
        with suppress(ProjectionError):
            found.update(shape.more(root))
    return found


def _at(root: Node, path: str) -> tuple[Node | None, str]:
    """The object in which the last part of a path is a field, if it is there."""
    *holders, field = path.split(".")
    node: Node | None = root
    for holder in holders:
        node = None if node is None else node.expanded(holder)
    return node, field
