"""Events: a snapshot of an object, and what it was before."""

import copy
from collections.abc import Mapping
from typing import Any

from gatekeeper.testing.stripe.core.store import Obj


def previous_attributes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Obj:
    """The fields that changed, with their earlier values.

    As at Stripe: mappings are compared key by key (a key that is new was null before), and a list
    that changed in any place is given whole.
    """
    changed: Obj = {}
    for key in (*before, *(key for key in after if key not in before)):
        was, now = before.get(key), after.get(key)
        if was == now:
            continue
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            changed[key] = previous_attributes(was, now)
        else:
            changed[key] = copy.deepcopy(was)
    return changed


def new_event(
    *,
    identifier: str,
    type: str,
    obj: Obj,
    previous: Obj | None,
    created: int,
    api_version: str,
    livemode: bool,
    pending_webhooks: int,
    request: Obj,
    account: str | None = None,
) -> Obj:
    """An `event` object with its own copy of `obj`."""
    data: Obj = {"object": copy.deepcopy(obj)}
    if previous is not None:
        data["previous_attributes"] = previous
    return {
        **({} if account is None else {"account": account}),
        "id": identifier,
        "object": "event",
        "api_version": api_version,
        "created": created,
        "data": data,
        "livemode": livemode,
        "pending_webhooks": pending_webhooks,
        "request": request,
        "type": type,
    }
