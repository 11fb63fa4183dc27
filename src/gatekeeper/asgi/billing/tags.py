"""Under which heading an operation stands in the document: by what its path begins with."""

from collections.abc import Mapping
from typing import Final

OFFICE: Final = "admin"
"""What the paths of the back office begin with."""

_HEADINGS: Final[Mapping[str, str]] = {
    "checkout": "buying",
    "docs": "description",
    "events": "account",
    "me": "account",
    "openapi.json": "description",
    "payment-intents": "orders",
    "payment-methods": "payment methods",
    "payments": "invoices",
    "portal": "buying",
    "profile": "account",
    "promotion-codes": "subscriptions",
    "sellers": "selling",
}

_OFFICE_HEADINGS: Final[Mapping[str, str]] = {
    "actions": "health and record",
    "events": "events and outbox",
    "health": "health and record",
    "outbox": "events and outbox",
    "paybacks": "selling",
    "report": "reports",
    "revenue": "reports",
    "sellers": "selling",
    "transfers": "selling",
}


def tag_of(path: str) -> str:
    """The heading of a path: what it begins with, where the list says no other."""
    first, *others = path.strip("/").split("/")
    if first == OFFICE and others:
        return f"back office: {_OFFICE_HEADINGS.get(others[0], others[0])}"
    return _HEADINGS.get(first, first)
