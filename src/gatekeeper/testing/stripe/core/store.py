"""The objects, by kind and id, in the order in which they were made."""

from typing import Any, TypeAlias

from gatekeeper.testing.stripe.core.errors import missing

Obj: TypeAlias = dict[str, Any]
"""One of Stripe's objects, as JSON."""


class Store:
    """Tables of objects. `hidden` keeps what Stripe knows of an object and does not show."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[str, Obj]] = {}
        self._hidden: dict[str, Obj] = {}

    def add(self, kind: str, obj: Obj, **hidden: Any) -> Obj:
        """Keep a new object; returns it."""
        self._tables.setdefault(kind, {})[obj["id"]] = obj
        if hidden:
            self._hidden[obj["id"]] = hidden
        return obj

    def hidden(self, obj: Obj) -> Obj:
        """The object's hidden facts, to read and to change."""
        return self._hidden.setdefault(obj["id"], {})

    def keep_as(self, kind: str, key: str, obj: Obj) -> None:
        """Keep an object that has no id of its own (a meter event) under a key."""
        self._tables.setdefault(kind, {})[key] = obj

    def find(self, kind: str, identifier: str | None) -> Obj | None:
        """The object, a deletion's tombstone included."""
        return self._tables.get(kind, {}).get(identifier or "")

    def get(self, kind: str, identifier: str) -> Obj:
        """The object, which is known to exist."""
        return self._tables[kind][identifier]

    def need(self, kind: str, identifier: str, param: str | None = None) -> Obj:
        """The object, or `resource_missing` in the way Stripe answers it; no tombstones."""
        obj = self.find(kind, identifier)
        if obj is None or obj.get("deleted"):
            raise missing(kind, identifier, param)
        return obj

    def all(self, kind: str) -> list[Obj]:
        """Every object of a kind that is not deleted, the newest first."""
        table = self._tables.get(kind, {})
        return [obj for obj in reversed(table.values()) if not obj.get("deleted")]

    def where(self, kind: str, **fields: Any) -> list[Obj]:
        """The objects whose fields have these values, the newest first."""
        return [o for o in self.all(kind) if all(o.get(k) == v for k, v in fields.items())]

    def bury(self, kind: str, obj: Obj) -> Obj:
        """Replace a deleted object by its tombstone, in place, and return that."""
        identifier, name = obj["id"], obj["object"]
        obj.clear()
        obj.update({"id": identifier, "object": name, "deleted": True})
        return obj

    def forget(self, kind: str, identifier: str) -> None:
        """Drop an object for good, so that nothing grows without bound."""
        self._tables.get(kind, {}).pop(identifier, None)
        self._hidden.pop(identifier, None)
