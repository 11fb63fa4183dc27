"""`gatekeeper reconcile`: its exit status tells of drift."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gatekeeper.storage.port import Transaction
from gatekeeper.storage.records import Customer
from gatekeeper.storage.sql.store import store_for
from gatekeeper.testing.stripe.settings import DEFAULT_API_KEY
from tests.cli.conftest import Host

pytestmark = pytest.mark.anyio


class Api:
    """The simulator's API, as somebody else uses it."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self, method: str, path: str, **params: Any) -> dict[str, Any]:
        how = {"params": params} if method == "GET" else {"data": params}
        answer = httpx.request(
            method,
            f"{self._url}/v1/{path}",
            headers={"Authorization": f"Bearer {DEFAULT_API_KEY}"},
            **how,  # type: ignore[arg-type]
        )
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
def api(stripe_url: str, stripe_host: Host) -> Api:
    stripe_host.migrate()
    stripe_host.run("stripe", "setup", "billing:gate")
    return Api(stripe_url)


def subscribe(api: Api, email: str = "a@b.example", **metadata: str) -> tuple[str, str]:
    """A customer with a paid subscription at Stripe; the ids of both."""
    named = {f"metadata[{key}]": value for key, value in metadata.items()}
    customer = api("POST", "customers", email=email, **named)["id"]
    method = api("POST", "payment_methods/pm_card_visa/attach", customer=customer)["id"]
    [price] = api("GET", "prices", **{"lookup_keys[]": "pro_monthly"})["data"]
    params = {"customer": customer, "items[0][price]": price["id"]}
    made = api("POST", "subscriptions", default_payment_method=method, **params)
    return customer, made["id"]


async def know(host: Host, customer: str, stripe_id: str) -> None:
    def work(tx: Transaction) -> None:
        tx.customers.insert(Customer(id=customer, created_at=tx.now(), stripe_id=stripe_id))

    async with store_for(host.env["GATEKEEPER_DATABASE_URL"]) as store:
        await store.write(work)


async def test_the_status_tells_of_drift_until_it_is_repaired(stripe_host: Host, api: Api) -> None:
    stripe_id, subscription = subscribe(api)
    await know(stripe_host, "org_1", stripe_id)
    command = ["reconcile", "billing:gate"]

    shown = stripe_host.run(*command, "--objects", "--dry-run", status=3)
    assert f"subscription {subscription} (org_1): status is nothing, Stripe has active" in shown
    assert "status is nothing, Stripe has paid" in shown
    assert "2 object(s) compared, 2 difference(s), nothing was changed." in shown
    since = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"
    shown = stripe_host.run(*command, "--events", "--since", since, "--dry-run", status=3)
    assert "nothing was changed" in shown
    assert "credits: 5 available" in stripe_host.run("explain", "billing:gate", "org_1")

    shown = stripe_host.run(*command)
    assert "0 left." in shown
    assert "credits: 1005 available" in stripe_host.run("explain", "billing:gate", "org_1")
    assert "0 difference(s)" in stripe_host.run(*command, "--dry-run")


def test_what_was_there_before_is_copied(stripe_host: Host, api: Api) -> None:
    subscribe(api)
    command = ["reconcile", "billing:gate", "--objects", "--copies"]
    shown = stripe_host.run(*command, "--dry-run", status=3)
    assert "charge: 1 listed, 1 without a copy, 0 copied otherwise" in shown
    assert "charge: 1 listed, 1 without" in stripe_host.run(*command)
    assert "without a copy" not in stripe_host.run(*command, "--dry-run")


def test_one_half_or_both(stripe_host: Host) -> None:
    shown = stripe_host.run("reconcile", "billing:gate", "--events", "--objects", status=1)
    assert "neither for both" in shown


def test_it_needs_a_key(host: Host) -> None:
    host.migrate()
    assert "set STRIPE_SECRET_KEY" in host.run("reconcile", "billing:gate", status=1)


HOLDER = """
import sys, anyio
from gatekeeper.storage.sql.store import store_for
from gatekeeper.stripe.long_work import held

async def hold():
    async with store_for(sys.argv[1]) as store, held(store, "reconciliation"):
        print("held", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)

anyio.run(hold)
"""


@pytest.mark.long
@pytest.mark.parametrize("killed", [False, True])
def test_of_two_processes_one_reconciles_and_a_killed_ones_lease_is_waited_out(
    killed: bool, stripe_host: Host, api: Api
) -> None:
    url = stripe_host.env["GATEKEEPER_DATABASE_URL"]
    subscribe(api)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, url],
        env=stripe_host.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        shown = stripe_host.run("reconcile", "billing:gate", status=1)
        assert "Another process is at it" in shown
        if killed:
            holder.kill()
        else:
            holder.communicate("\n")
    shown = stripe_host.run("reconcile", "billing:gate", status=1 if killed else 0)
    assert ("Another process is at it" in shown) is killed
