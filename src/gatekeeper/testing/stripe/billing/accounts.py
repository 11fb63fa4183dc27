"""Connected accounts: what they may do, and how they leave.

Source: Stripe's page "Account capabilities"; API reference, "Capabilities". The account's own
events (`account.updated`, `capability.updated`) carry its id.
"""

from gatekeeper.testing.stripe.core.errors import missing
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.state import State

CAPABILITIES = ("card_payments", "transfers")

ASKED = ("external_account", "individual.verification.document", "tos_acceptance.date")
"""What is asked of an account's owner before it may do anything."""

_DASHBOARDS = {"custom": "none", "express": "express"}


def controller(asked: Obj | None, kind: str | None) -> Obj:
    """What the platform may do with an account, and answers for: as asked for, or by its type.
    Source: Stripe's page "Migrate your Connect integration to use controller properties"."""
    asked, ours = asked or {}, kind in ("custom", "express")
    dashboard = {"type": _DASHBOARDS.get(kind or "", "full")}
    payer = {"payer": f"application_{kind}" if ours else "account"}
    losses = {"payments": "application" if ours else "stripe"}
    collects = "application" if kind == "custom" else "stripe"
    return {
        "type": "application",
        "fees": asked.get("fees") or payer,
        "is_controller": True,
        "losses": asked.get("losses") or losses,
        "requirement_collection": asked.get("requirement_collection") or collects,
        "stripe_dashboard": asked.get("stripe_dashboard") or dashboard,
    }


def requirements(due: tuple[str, ...], reason: str | None = None) -> Obj:
    """What is asked of an account's owner: the names of fields."""
    return {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": list(due),
        "disabled_reason": reason or ("requirements.past_due" if due else None),
        "errors": [],
        "eventually_due": list(due),
        "past_due": list(due),
        "pending_verification": [],
    }


def named(state: State, account: Obj) -> list[str]:
    """The capabilities that the account has ever asked for."""
    return list(state.platform.store.hidden(account)["requested"])


def capability(state: State, account: Obj, name: str) -> Obj:
    """One as an object of its own."""
    if name not in CAPABILITIES:
        raise missing("capability", name)
    hidden = state.platform.store.hidden(account)
    asked: int | None = hidden["requested"].get(name)
    reason = hidden.get("reasons", {}).get(name)
    return {
        "id": name,
        "object": "capability",
        "account": account["id"],
        "requested": asked is not None,
        "requested_at": asked,
        "requirements": requirements((), reason),
        "status": account["capabilities"].get(name, "unrequested"),
    }


def request(state: State, account: Obj, name: str, wanted: bool) -> None:
    """Ask for a capability, or give it up: an onboarded account has it at once."""
    asked: dict[str, int | None] = state.platform.store.hidden(account)["requested"]
    if wanted is (asked.get(name) is not None):
        return
    asked[name] = state.now() if wanted else None
    status = "active" if account["details_submitted"] else "inactive"
    set_status(state, account, name, status if wanted else "unrequested")


def set_status(
    state: State, account: Obj, name: str, status: str, reason: str | None = None
) -> None:
    """Say what a capability is: "active", "pending", "inactive" or "unrequested", and why."""
    seen = state.of(account["id"])
    with seen.changing(account) as changed:
        before = changed["capabilities"].get(name, "unrequested")
        if status == "unrequested":
            changed["capabilities"].pop(name, None)
        else:
            changed["capabilities"][name] = status
        state.platform.store.hidden(account).setdefault("reasons", {})[name] = reason
    if before == status:
        return
    seen.emit("capability.updated", capability(state, account, name), {"status": before})
    enabled = "active" in account["capabilities"].values()
    with seen.changing(account, "account.updated"):
        account["charges_enabled"] = enabled and account["details_submitted"]


def onboard(state: State, identifier: str) -> Obj:
    """What the account's owner does on Stripe's pages: everything asked for is enabled."""
    account = state.store.need("account", identifier)
    account["details_submitted"] = True
    for name in account["capabilities"]:
        set_status(state, account, name, "active")
    with state.of(identifier).changing(account, "account.updated"):
        account.update(charges_enabled=True, payouts_enabled=True, requirements=requirements(()))
    return account


def deauthorize(state: State, identifier: str) -> None:
    """The account's owner takes leave of the platform, which sees it no more."""
    account = state.store.need("account", identifier)
    settings = state.settings
    application = {
        "id": settings.application_id,
        "object": "application",
        "name": settings.account_name,
    }
    state.of(identifier).emit("account.application.deauthorized", application)
    state.store.forget("account", account["id"])
