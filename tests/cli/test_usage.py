"""`gatekeeper usage`: dead windows listed, sent again, discarded; sums compared with Stripe's."""

from datetime import UTC, datetime, timedelta

import pytest

from gatekeeper.services.metering import reject
from gatekeeper.storage.metering import WindowStatus
from gatekeeper.storage.sql.store import store_for
from gatekeeper.testing.conformance.storage import samples
from tests.cli.conftest import Host

pytestmark = pytest.mark.anyio


async def test_dead_windows_are_listed_sent_again_and_discarded(host: Host) -> None:
    host.migrate()
    async with store_for(host.env["GATEKEEPER_DATABASE_URL"]) as store:
        for number in (1, 2):
            window = samples.usage_window(f"window_{number}", identifier=f"use_{number}")
            await store.write(lambda tx, of=window: tx.metering.add_window(of))  # type: ignore[misc]
            await store.write(lambda tx, of=number: reject(tx, f"use_{of}", "code", "why"))  # type: ignore[misc]
    shown = host.run("usage", "list", "billing:gate")
    assert shown.count("ada overage 4: rejected by Stripe (code): why") == 2
    assert "will be sent" in host.run("usage", "retry", "billing:gate", "use_1")
    assert "4 of overage will not be billed" in host.run(
        "usage", "discard", "billing:gate", "use_2"
    )
    assert host.run("usage", "list", "billing:gate") == ""
    waiting = host.run("usage", "list", "billing:gate", "--status", "pending", "--customer", "ada")
    assert waiting.count("overage") == 1
    assert "no dead window" in host.run("usage", "retry", "billing:gate", "use_1", status=1)
    assert "STRIPE_SECRET_KEY" in host.run(
        "usage", "compare", "billing:gate", "--customer", "ada", status=1
    )


async def test_sums_are_compared_with_stripes(stripe_host: Host) -> None:
    stripe_host.migrate()
    assert "0 sum(s) compared" in stripe_host.run("usage", "compare", "billing:gate")
    at = datetime.now(UTC) - timedelta(hours=5)
    window = samples.usage_window(start=at, at=at, status=WindowStatus.SENT)
    async with store_for(stripe_host.env["GATEKEEPER_DATABASE_URL"]) as store:
        await store.write(lambda tx: tx.metering.add_window(window))
    shown = stripe_host.run("usage", "compare", "billing:gate", status=3)
    assert "ada overage: Stripe was told 4 and has 0" in shown
    assert "1 difference(s)" in shown
