"""The words of notices. A host replaces them one by one: `Letters(words={"receipt": my_receipt})`.

Each letter is paragraphs of plain text; the same become HTML, escaped. Nothing that comes from
outside can become a header: `smtp` writes each header as one line.
"""

import html
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from gatekeeper.catalog import format_minor
from gatekeeper.services.notices.port import Notice, NoticeKind


class Letter(NamedTuple):
    """One letter; `html` is optional."""

    subject: str
    text: str
    html: str | None = None


Words = Callable[[Notice], Letter]
"""Writes the letter of a notice."""


class Letters:
    """The letters of one app.

    Args:
        product: what the app calls itself: in subjects, and below the letter.
        link: where a customer manages their plan; shown below the letter.
        words: the host's own letters, by kind; whatever is not in it has ours.
    """

    def __init__(
        self,
        *,
        product: str | None = None,
        link: str | None = None,
        words: Mapping[NoticeKind, Words] | None = None,
    ) -> None:
        self._product = product
        self._link = link
        self._words = dict(words or {})

    def letter(self, notice: Notice) -> Letter:
        """The letter of a notice."""
        own = self._words.get(notice.kind)
        if own is not None:
            return own(notice)
        subject, *paragraphs = _WORDS[notice.kind](notice.facts)
        if self._product is not None:
            subject = f"{self._product}: {subject}"
        if self._link is not None:
            paragraphs.append(f"Your plan and your payments: {self._link}")
        if self._product is not None:
            paragraphs.append(self._product)
        return Letter(subject, "\n\n".join(paragraphs) + "\n", _as_html(paragraphs))


def _as_html(paragraphs: list[str]) -> str:
    body = "\n".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in paragraphs)
    return f'<!doctype html>\n<html lang="en"><body>\n{body}\n</body></html>\n'


def _receipt(facts: Mapping[str, Any]) -> list[str]:
    what = facts.get("invoice") or facts.get("purchase")
    return [
        "Your receipt",
        f"Thank you. Your payment of {_money(facts)} has arrived.",
        *([f"Reference: {what}"] if what else []),
    ]


def _payment_failed(facts: Mapping[str, Any]) -> list[str]:
    again = facts.get("next_attempt_at")
    after = (
        f"It will be tried again on {_day(again)}."
        if again
        else "It will not be tried again by itself."
    )
    return [
        "Your payment did not go through",
        f"Your payment of {_money(facts)} could not be taken. {after}",
        "Please check your payment method, so that nothing is interrupted.",
    ]


def _credits_low(facts: Mapping[str, Any]) -> list[str]:
    unit = facts["unit"]
    return [f"You are running low on {unit}", f"You have {facts['left_shown']} {unit} left."]


def _credits_exhausted(facts: Mapping[str, Any]) -> list[str]:
    unit = facts["unit"]
    return [f"You have used up your {unit}", f"There are no {unit} left."]


def _credits_expiring(facts: Mapping[str, Any]) -> list[str]:
    unit = facts["unit"]
    return [
        f"Some of your {unit} expire soon",
        f"Some of the {facts['left_shown']} {unit} that you have left expire on "
        f"{_day(facts['expires_at'])}.",
    ]


def _credits_owed(facts: Mapping[str, Any]) -> list[str]:
    unit = facts["unit"]
    return [
        f"You owe {facts['owed_shown']} {unit}",
        f"A payment was returned after what it had bought was used: {facts['owed_shown']} {unit} "
        "are owed. The next ones that you get repay them first.",
    ]


def _cap_reached(facts: Mapping[str, Any]) -> list[str]:
    unit = facts["unit"]
    every = f" for this {facts['every']}" if facts.get("every") else ""
    return [f"A limit of {unit} is reached", f"The limit of {unit}{every} has been used up."]


def _subscription_started(facts: Mapping[str, Any]) -> list[str]:
    return ["Your subscription has begun", f"Welcome. {_plans(facts)}".strip()]


def _subscription_ending(facts: Mapping[str, Any]) -> list[str]:
    return [
        "Your subscription will end",
        f"As you asked, your subscription ends on {_day(facts['cancel_at'])}. Until then nothing "
        "changes.",
    ]


def _subscription_ended(facts: Mapping[str, Any]) -> list[str]:
    return ["Your subscription has ended", "Your subscription has ended. You can take another."]


_WHY_BLOCKED: Mapping[str, str] = {
    "authentication_required": "Your bank asks for you: please confirm the payment yourself once.",
    "monthly_cap": "The most that you wished to spend in a month is spent.",
    "no_card": "There is no saved card to pay with: please save one.",
}
"""The reasons that a letter names. The others are the card's, or are not for a letter to say: why
somebody's credits are frozen may warn who is being looked at."""

_CARD = frozenset({"declined", "too_many_declines", "refused"})


def _top_up_blocked(facts: Mapping[str, Any]) -> list[str]:
    unit, reason = facts["unit"], str(facts.get("reason"))
    why = _WHY_BLOCKED.get(reason)
    if reason in _CARD:
        why = f"The payment of {_money(facts)} was declined: please choose another card."
    return [
        f"Your {unit} are not topped up any more",
        f"No more {unit} are bought automatically for now.",
        *([why] if why else []),
    ]


_WORDS: Mapping[NoticeKind, Callable[[Mapping[str, Any]], list[str]]] = {
    "receipt": _receipt,
    "payment_failed": _payment_failed,
    "credits_low": _credits_low,
    "credits_exhausted": _credits_exhausted,
    "credits_expiring": _credits_expiring,
    "credits_owed": _credits_owed,
    "cap_reached": _cap_reached,
    "subscription_started": _subscription_started,
    "subscription_ending": _subscription_ending,
    "subscription_ended": _subscription_ended,
    "top_up_blocked": _top_up_blocked,
}
"""For each kind the subject, and the paragraphs."""


def _money(facts: Mapping[str, Any]) -> str:
    amount, currency = facts["amount_minor"], str(facts["currency"])
    try:
        return format_minor(amount, currency)
    except KeyError:  # a currency that the catalogue does not know
        return f"{amount} {currency.upper()}, in its smallest unit"


def _plans(facts: Mapping[str, Any]) -> str:
    plans = [item["plan"] for item in facts.get("items", ()) if item.get("plan")]
    return f"You have now: {', '.join(plans)}." if plans else ""


def _day(moment: str) -> str:
    """The day of an ISO 8601 moment: `5 January 2026`, of UTC."""
    at = datetime.fromisoformat(moment)
    return f"{at.day} {at:%B %Y}"
