"""`gatekeeper backfill`: by metadata, by a file, and what is not certain."""

from tests.cli.conftest import Host
from tests.cli.test_reconcile import Api, api, subscribe  # noqa: F401 -- a fixture


def test_customers_of_an_existing_account_are_taken_over(
    stripe_host: Host,
    api: Api,  # noqa: F811
) -> None:
    first, _ = subscribe(api, org="org_1")
    second, _ = subscribe(api)
    command = ["backfill", "billing:gate"]

    shown = stripe_host.run(*command, "--metadata-key", "org", "--dry-run")
    assert shown.startswith("1 customer(s) to be mapped (0 by an earlier run), 1 nobody's")
    assert "credits: 5 available" in stripe_host.run("explain", "billing:gate", "org_1")

    shown = stripe_host.run(*command, "--metadata-key", "org")
    assert "1 subscription(s) and 1 paid invoice(s) projected." in shown
    assert "credits: 1005 available" in stripe_host.run("explain", "billing:gate", "org_1")
    shown = stripe_host.run("subscriptions", "list", "billing:gate", "org_1")
    assert " active: 1 x pro, period until " in shown
    shown = stripe_host.run("subscriptions", "history", "billing:gate", "org_1")
    assert " #1 by backfill" in shown
    assert "  status: active" in shown
    assert "  items: 1 x pro paid until " in shown

    listed = stripe_host.folder / "customers.csv"
    listed.write_text(f"{first},org_2\n\n{second},org_3\n")
    shown = stripe_host.run(*command, "--map", "customers.csv", status=3)
    assert f"org_2: {first} belongs to org_1 already." in shown
    assert "credits: 1005 available" in stripe_host.run("explain", "billing:gate", "org_3")


def test_a_mapping_must_be_given_and_be_readable(stripe_host: Host) -> None:
    command = ["backfill", "billing:gate"]
    assert "either --metadata-key or --map" in stripe_host.run(*command, status=1)
    assert "can't be read" in stripe_host.run(*command, "--map", "none.csv", status=1)
    listed = stripe_host.folder / "customers.csv"
    listed.write_text("cus_1\n")
    assert "every line" in stripe_host.run(*command, "--map", "customers.csv", status=1)
    listed.write_text("cus_1,a\ncus_1,b\n")
    assert "twice" in stripe_host.run(*command, "--map", "customers.csv", status=1)
