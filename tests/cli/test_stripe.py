"""`gatekeeper stripe` and `gatekeeper stripe-sim`."""

import subprocess
import sys

import httpx
import pytest

from gatekeeper.testing.stripe.settings import DEFAULT_API_KEY
from tests.cli.conftest import Host, StripeProcess
from tests.cli.test_reconcile import Api, know, subscribe

WEBHOOK_URL = "https://app.test/billing/webhooks"
MISSING = [
    "product gatekeeper_plan_pro: is missing",
    "price pro_monthly: is missing (9.99 EUR)",
    "product gatekeeper_pack_pack: is missing",
    "price topup_100: is missing (5.00 EUR)",
    "meter overage: is missing (event name ai_credits)",
]


def test_a_dry_run_shows_what_is_missing_and_makes_nothing(stripe_host: Host) -> None:
    for _ in range(2):
        shown = stripe_host.run("stripe", "setup", "billing:gate", "--dry-run").splitlines()
        assert shown == [*MISSING, "5 difference(s); nothing was changed."]


def test_setup_makes_what_is_missing_and_then_finds_nothing_to_do(
    stripe_host: Host, stripe_url: str
) -> None:
    setup = ["stripe", "setup", "billing:gate"]
    assert stripe_host.run(*setup).splitlines() == [*MISSING, "5 difference(s) mended."]
    assert stripe_host.run(*setup) == "Stripe has all that the catalogue needs.\n"
    dry = stripe_host.run(*setup, "--dry-run")
    assert dry == "Stripe has all that the catalogue needs.\n"
    answer = httpx.get(
        f"{stripe_url}/v1/prices",
        params={"lookup_keys[]": "pro_monthly"},
        headers={"Authorization": f"Bearer {DEFAULT_API_KEY}"},
    )
    assert [price["unit_amount"] for price in answer.json()["data"]] == [999]


def test_setup_makes_the_webhook_endpoint_and_shows_its_secret_once(stripe_host: Host) -> None:
    setup = ["stripe", "setup", "billing:gate", "--webhook-url", WEBHOOK_URL]
    shown = stripe_host.run(*setup)
    assert f"webhook endpoint {WEBHOOK_URL}: is missing" in shown
    assert shown.splitlines()[-1].startswith("STRIPE_WEBHOOK_SECRET=whsec_")
    again = stripe_host.run(*setup)
    assert again == "Stripe has all that the catalogue needs.\n"


def test_setup_without_a_key_says_which_setting_is_missing(host: Host) -> None:
    shown = host.run("stripe", "setup", "billing:gate", status=1)
    assert shown == "gatekeeper: This needs Stripe: set STRIPE_SECRET_KEY.\n"


def test_setup_with_a_key_that_stripe_refuses_ends_in_our_words(stripe_host: Host) -> None:
    stripe_host.env["STRIPE_SECRET_KEY"] = "sk_test_another"
    shown = stripe_host.run("stripe", "setup", "billing:gate", status=1)
    assert shown.startswith("gatekeeper: ")
    assert "Traceback" not in shown
    assert "sk_test_another" not in shown


def test_setup_while_stripe_is_away_ends_in_our_words(stripe_host: Host, free_port: int) -> None:
    stripe_host.env |= {
        "STRIPE_API_BASE": f"http://127.0.0.1:{free_port}",
        "GATEKEEPER_STRIPE_MAX_RETRIES": "0",
    }
    shown = stripe_host.run("stripe", "setup", "billing:gate", status=1)
    assert shown.startswith("gatekeeper: ")
    assert "Traceback" not in shown


def test_the_simulator_tells_the_settings_with_which_an_app_uses_it(
    stripe_process: StripeProcess, host: Host
) -> None:
    said = stripe_process.process.log_text().splitlines()
    assert said == [
        f"STRIPE_API_BASE={stripe_process.url}",
        f"STRIPE_SECRET_KEY={DEFAULT_API_KEY}",
        "STRIPE_PUBLISHABLE_KEY=pk_test_simulator",
    ]
    host.env |= dict(line.split("=", 1) for line in said)
    shown = host.run_process("stripe", "setup", "billing:gate", "--dry-run")
    assert shown.splitlines()[:-1] == MISSING


def test_the_simulator_makes_up_a_secret_for_its_endpoint(host: Host, free_port: int) -> None:
    process = host.start("stripe-sim", "--port", str(free_port), "--webhook-url", WEBHOOK_URL)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(4)]
    assert said[3].startswith("STRIPE_WEBHOOK_SECRET=whsec_")


def test_a_port_that_cannot_be_is_a_usage_error(host: Host) -> None:
    assert "port" in host.run("stripe-sim", "--port", "0", status=2)


def test_the_simulator_without_its_extra_names_the_extra(host: Host) -> None:
    program = (
        "import sys; from importlib import util\n"
        "found = util.find_spec\n"
        "util.find_spec = lambda name: None if name == 'uvicorn' else found(name)\n"
        "from gatekeeper.cli import main\n"
        "sys.argv = ['gatekeeper', 'stripe-sim']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=host.env, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("gatekeeper: uvicorn is needed here and is not installed")
    assert "gatekeeper-entitlements[testing]" in done.stderr


@pytest.mark.anyio
async def test_subscriptions_are_moved_to_a_price_that_has_changed(
    stripe_url: str, stripe_host: Host
) -> None:
    stripe_host.migrate()
    stripe_host.run("stripe", "setup", "billing:gate")
    stripe_id, subscription = subscribe(Api(stripe_url))
    await know(stripe_host, "org_1", stripe_id)
    stripe_host.run("reconcile", "billing:gate", "--objects")
    billing = stripe_host.folder / "billing.py"
    billing.write_text(billing.read_text().replace("amount_minor=999", "amount_minor=1_299"))
    stripe_host.run("stripe", "setup", "billing:gate")

    command = ["stripe", "move-prices", "billing:gate"]
    shown = stripe_host.run(*command)
    assert f"{subscription} (org_1): price_" in shown
    assert "in all +3.00 EUR every month" in shown
    assert "Nothing was changed" in shown
    assert "1 subscription(s) moved" in stripe_host.run(*command, "--apply")
    assert "0 subscription(s) to move" in stripe_host.run(*command)
    assert "Give both" in stripe_host.run(*command, "--from", "pro_monthly", status=1)
