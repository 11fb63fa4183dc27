"""The desk that makes notices of signals: which of them a customer is told of, and where."""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final, get_args

from gatekeeper.catalog import Catalog, Unit
from gatekeeper.errors import RegistrationError
from gatekeeper.services.notices.port import Notice, NoticeKind, Notifier
from gatekeeper.services.outbox.signals import Signal
from gatekeeper.storage.port import Store

logger = logging.getLogger("gatekeeper.notices")

RECEIVER: Final = "gatekeeper.notices"
"""The name of this receiver in the outbox."""

AddressOf = Callable[[str], Awaitable[str | None]]
"""Where a customer is told of things; None for somebody who is not to be told of any."""

_KIND_OF: Final[Mapping[str, NoticeKind]] = {
    "cap.reached": "cap_reached",
    "credits.debt": "credits_owed",
    "credits.exhausted": "credits_exhausted",
    "credits.low": "credits_low",
    "grant.expiring": "credits_expiring",
    "payment.failed": "payment_failed",
    "payment.succeeded": "receipt",
    "top_up.blocked": "top_up_blocked",
}
_SUBSCRIPTION: Final = "subscription.changed"
_HAS_IT: Final = frozenset({"active", "trialing", "past_due"})
_HAD_NOTHING: Final = frozenset({None, "incomplete"})

FOR_CUSTOMERS: Final[frozenset[NoticeKind]] = frozenset(
    {
        "receipt",
        "payment_failed",
        "credits_low",
        "credits_exhausted",
        "credits_owed",
        "subscription_ending",
        "subscription_ended",
        "top_up_blocked",
    }
)
"""What is told if the host does not say otherwise."""


ALL_KINDS: Final[frozenset[str]] = frozenset(get_args(NoticeKind))


def topics_for(kinds: Collection[NoticeKind]) -> tuple[str, ...]:
    """The signals that notices of these kinds are made of.

    Raises:
        RegistrationError: there is no such kind, or none is named.
    """
    strange = sorted(set(kinds) - ALL_KINDS)
    if strange or not kinds:
        raise RegistrationError(
            f"There is no notice {strange[0]!r}." if strange else "No kind of notice is named."
        )
    topics = [topic for topic, kind in _KIND_OF.items() if kind in kinds]
    if any(kind.startswith("subscription_") for kind in kinds):
        topics.append(_SUBSCRIPTION)
    return tuple(topics)


class NoticeDesk:
    """The receiver of signals that tells customers.

    Args:
        address: the host's own function; by default the address is the one that the customer was
            written down with (`gate.customers.ensure(..., email=...)`).
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        notifier: Notifier,
        *,
        kinds: Collection[NoticeKind] = FOR_CUSTOMERS,
        address: AddressOf | None = None,
    ) -> None:
        self._store = store
        self._units = catalog.units
        self._notifier = notifier
        self._kinds = frozenset(kinds)
        self._address = address or self._written_down

    async def receive(self, signal: Signal) -> None:
        """Tell the customer of a signal, if it is one of the kinds that are told."""
        kind = kind_of(signal)
        if kind is None or kind not in self._kinds:
            return
        to = await self._address(signal.customer)
        if not to:
            logger.debug("a customer without an address is not told of %s", kind)
            return
        await self._notifier.notify(
            Notice(
                id=signal.id,
                kind=kind,
                customer=signal.customer,
                to=to,
                at=signal.at,
                facts=_with_shown(signal.body, self._units),
            )
        )

    async def _written_down(self, customer: str) -> str | None:
        known = await self._store.read(lambda tx: tx.customers.get(customer))
        return None if known is None else known.email


def kind_of(signal: Signal) -> NoticeKind | None:
    """What a signal is to its customer; None if it is nothing to speak of."""
    if signal.topic != _SUBSCRIPTION:
        return _KIND_OF.get(signal.topic)
    body = signal.body
    status, before = body.get("status"), body.get("previous_status")
    if status in _HAS_IT and before in _HAD_NOTHING:
        return "subscription_started"
    if status == "canceled" and before in _HAS_IT:
        return "subscription_ended"
    cancel_at = body.get("cancel_at")
    if status in _HAS_IT and cancel_at and cancel_at != body.get("previous_cancel_at"):
        return "subscription_ending"
    return None


def _with_shown(body: Mapping[str, Any], units: Mapping[str, Unit]) -> dict[str, Any]:
    """The facts of a signal, with amounts of its unit also as people write them."""
    facts = dict(body)
    unit = units.get(str(body.get("unit")))
    scale = 0 if unit is None else unit.scale
    for name in ("left", "owed"):
        if isinstance(body.get(name), int):
            facts[f"{name}_shown"] = shown(body[name], scale)
    return facts


def shown(amount: int, scale: int) -> str:
    """An amount of a unit as people write it: 150 at a scale of 2 is 1.5."""
    if not scale:
        return str(amount)
    whole, rest = divmod(abs(amount), 10**scale)
    decimals = f"{rest:0{scale}d}".rstrip("0")
    return f"{'-' if amount < 0 else ''}{whole}{'.' if decimals else ''}{decimals}"
