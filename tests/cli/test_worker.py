"""`gatekeeper worker`: one run for cron, and a process that ends cleanly on a signal."""

import re
import signal
import subprocess

import pytest

from gatekeeper import WebhookReceiver, WebhookRegistry
from gatekeeper.storage.sql.store import store_for
from gatekeeper.testing.events import DEFAULT_SECRET, make_event, signed
from tests.cli.conftest import TIMEOUT_SECONDS, Host, output_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def upgraded(host: Host) -> Host:
    host.migrate()
    return host


async def arrive(host: Host, *ids: str) -> None:
    """Store events, as the route of a web process does."""
    async with store_for(host.env["GATEKEEPER_DATABASE_URL"]) as store:
        receiver = WebhookReceiver(WebhookRegistry(), store, [DEFAULT_SECRET])
        for event_id in ids:
            event = make_event(
                "product.created", {"id": "prod_1", "object": "product"}, id=event_id
            )
            assert await receiver.receive(*signed(event))


async def test_once_does_what_is_due_and_ends(upgraded: Host) -> None:
    await arrive(upgraded, "evt_1", "evt_2")
    shown = upgraded.run("worker", "billing:gate", "--once")
    assert shown == "2 event(s) dispatched, 0 hold(s) expired, 0 message(s) delivered.\n"
    assert sorted(upgraded.handled) == ["evt_1", "evt_2"]
    shown = upgraded.run("worker", "billing:gate", "--once")
    assert shown == "0 event(s) dispatched, 0 hold(s) expired, 0 message(s) delivered.\n"
    assert len(upgraded.handled) == 2


async def test_once_expires_the_holds_whose_time_is_over(upgraded: Host) -> None:
    (upgraded.folder / "leave_a_hold.py").write_text(
        "from datetime import timedelta\n"
        "from billing import gate\n"
        "from gatekeeper import SyncGatekeeper\n"
        "with SyncGatekeeper(gate) as billing:\n"
        "    billing.hold('org_1', 'credits', 3, ttl=timedelta(microseconds=1))\n"
    )
    shown = upgraded.run("explain", "leave_a_hold:gate", "org_1")
    assert "credits: 2 available, 3 held" in shown
    shown = upgraded.run("worker", "billing:gate", "--once")
    assert shown.startswith("0 event(s) dispatched, 1 hold(s) expired, ")
    assert "credits: 5 available, 0 held" in upgraded.run("explain", "billing:gate", "org_1")


@pytest.mark.parametrize(
    ("ending", "settings"),
    [
        (signal.SIGTERM, {}),
        (signal.SIGINT, {}),
        (signal.SIGTERM, {"GATEKEEPER_INLINE_DISPATCH": "true"}),
        (signal.SIGINT, {"GATEKEEPER_BACKGROUND_WORK": "false"}),
    ],
    ids=["SIGTERM", "SIGINT", "inline", "elsewhere"],
)
async def test_a_worker_dispatches_until_a_signal_ends_it_cleanly(
    upgraded: Host, ending: signal.Signals, settings: dict[str, str]
) -> None:
    """Whatever the settings leave to others: it is the other."""
    upgraded.env |= settings
    (upgraded.folder / "speaking.py").write_text(
        "from billing import gate\n"
        "@gate.webhooks.on('product.created')\n"
        "async def speak(event):\n"
        "    print('handled', event.id)\n"
    )
    worker = upgraded.start("worker", "speaking:gate")
    assert output_of(worker).readline() == "Working. Stop with Ctrl-C.\n"
    await arrive(upgraded, "evt_1")
    assert output_of(worker).readline() == "handled evt_1\n"  # else the test's timeout
    assert ended(worker, ending) == f"{ending.name}: stopping.\nStopped.\n"
    assert worker.returncode == 0


def ended(process: subprocess.Popen[str], how: signal.Signals) -> str:
    """Send a signal and wait for the end; what the process said after it."""
    process.send_signal(how)
    rest, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    return rest


async def test_a_worker_without_our_tables_ends_with_our_words(host: Host) -> None:
    once = host.run("worker", "billing:gate", "--once", status=1)
    until_stopped = host.run_process("worker", "billing:gate", status=1)
    for shown in (once, until_stopped):
        assert shown.startswith("gatekeeper: There is no SQLite file")


async def test_a_failing_handler_is_logged_with_its_time_and_tried_again(upgraded: Host) -> None:
    (upgraded.folder / "failing.py").write_text(
        "from billing import gate\n"
        "@gate.webhooks.on('product.created')\n"
        "async def fail(event):\n"
        "    raise RuntimeError('the mail server is away')\n"
    )
    await arrive(upgraded, "evt_1")
    shown = upgraded.run("worker", "failing:gate", "--once")
    assert re.search(r"^\d{4}-\d\d-\d\d .* gatekeeper\.?\w*: ", shown, re.MULTILINE)
    assert "the mail server is away" in shown
