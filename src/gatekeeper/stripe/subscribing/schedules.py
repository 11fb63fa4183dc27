"""Changes that wait for the next period, carried out by a schedule of Stripe's
(https://docs.stripe.com/billing/subscriptions/subscription-schedules)."""

from typing import Any, Final

from gatekeeper.errors import ConflictError
from gatekeeper.storage.port import Transaction
from gatekeeper.stripe.client import Obj
from gatekeeper.stripe.subscribing.intents import Intent
from gatekeeper.stripe.subscribing.means import Means, key_of

_PATH: Final = "/v1/subscription_schedules"
_MAKE: Final = "subscription schedules create"
_FILL: Final = "subscription schedules update"
_RELEASE: Final = "subscription schedules release"

_OURS: Final = {"gatekeeper": "change"}
"""The metadata by which people, and the next change, know a schedule that was made here."""


class Schedules:
    """Makes such schedules, and takes them back."""

    def __init__(self, means: Means) -> None:
        self._means = means
        for operation in (_MAKE, _FILL, _RELEASE):
            means.is_done_once(operation)

    async def put(self, customer: str, intent: Intent, idempotency_key: str | None) -> None:
        """Let the change be made when the present period ends."""
        subscription_id = intent.found["id"]
        made = await self._post(
            customer,
            _MAKE,
            _PATH,
            {"from_subscription": subscription_id},
            # Another try, after this one's schedule was taken back, wants a schedule of its own.
            idempotency_key and f"{idempotency_key}:{intent.schedule}",
        )
        current = made["phases"][0]
        interval = {"interval": intent.entry.price.every}
        params = {
            "end_behavior": "release",
            "metadata": _OURS,
            "proration_behavior": "none",
            "phases": [
                {
                    "start_date": current["start_date"],
                    "end_date": current["end_date"],
                    "items": [_priced(one) for one in current["items"]],
                    "proration_behavior": "none",
                    **_trial(current),
                    **_discounts(current),
                },
                {
                    "items": intent.whole,
                    "duration": {**interval, "interval_count": intent.entry.price.every_count},
                    "proration_behavior": "none",
                    **_discounts(current),
                },
            ],
        }
        await self._post(customer, _FILL, f"{_PATH}/{made['id']}", params, idempotency_key)
        await self._look(made["id"])

    async def take_back(self, customer: str, found: Obj, idempotency_key: str | None) -> None:
        """Release the subscription from the schedule that an earlier change has made.

        Raises:
            ConflictError: the schedule is the host's own.
        """
        named = found.get("schedule")
        if named is None:
            return
        schedule_id = named["id"] if isinstance(named, dict) else str(named)
        schedule = await self._means.gateway.fetch("subscription_schedule", schedule_id)
        if schedule is None or schedule["status"] not in ("active", "not_started"):
            return
        if not _is_ours(schedule):
            raise ConflictError("The subscription can't be changed: a schedule directs it.")
        await self._post(customer, _RELEASE, f"{_PATH}/{schedule_id}/release", {}, idempotency_key)
        await self._look(schedule_id)

    async def _look(self, schedule_id: str) -> None:
        copies = self._means.projections.copies["subscription_schedule"]
        await copies.refresh(schedule_id)

    async def _post(
        self,
        customer: str,
        operation: str,
        path: str,
        params: dict[str, Any],
        idempotency_key: str | None,
    ) -> Obj:
        return await self._means.outgoing.post(
            operation,
            path,
            params,
            customer=customer,
            idempotency_key=key_of(operation, customer, path, idempotency_key),
            settle=_answer,
            keeps_trying=False,
        )


def _is_ours(schedule: Obj) -> bool:
    """Whether it was made here. One without a second phase changes nothing: a crash has left it."""
    marked = (schedule.get("metadata") or {}).get("gatekeeper") == _OURS["gatekeeper"]
    return marked or (len(schedule["phases"]) == 1 and schedule["end_behavior"] == "release")


def _discounts(phase: Obj) -> dict[str, Any]:
    """What is taken off, which every phase has to say: a phase without it has none."""
    found = []
    for one in phase.get("discounts") or []:
        named = next((name for name in ("discount", "coupon") if one.get(name)), None)
        if named is not None:
            found.append({named: _id(one[named])})
    return {"discounts": found} if found else {}


def _trial(phase: Obj) -> dict[str, Any]:
    end = phase.get("trial_end")
    return {} if end is None else {"trial_end": end}


def _priced(row: Obj) -> dict[str, Any]:
    quantity = {} if row.get("quantity") is None else {"quantity": row["quantity"]}
    return {"price": _id(row["price"]), **quantity}


def _id(value: Any) -> Any:
    return value["id"] if isinstance(value, dict) else value


def _answer(tx: Transaction, answer: Obj) -> Obj:
    return answer
