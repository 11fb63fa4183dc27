"""Logs: every event has a name and fields, and nothing secret is in any of them."""

import ast
import functools
import json
import logging
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

import gatekeeper
from gatekeeper import Gatekeeper, Settings, WebhookEvent
from gatekeeper.errors import SignatureError, UndeliverableError
from gatekeeper.services.outbox import Signal
from gatekeeper.stripe.reconciliation import RunOptions
from gatekeeper.stripe.signature import sign
from gatekeeper.telemetry.events import EVENTS, LOGGERS, LogEvent
from gatekeeper.telemetry.logs import _OWN, JsonFormatter
from gatekeeper.telemetry.redaction import redact
from gatekeeper.testing.stripe import Simulator
from tests import warm
from tests.docs.test_code_blocks import ROOT
from tests.telemetry.test_flow import CATALOG, SECRET, subscribed
from tests.telemetry.test_tables import PAGE, names

SOURCE = Path(gatekeeper.__file__).parent
METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
VALUE = re.compile(r"%[-#0 +]*\d*(?:\.\d+)?[sdfr]")


class Call(NamedTuple):
    """A call that logs, and where it stands."""

    place: str
    template: str
    values: int


@functools.cache
def called() -> list[tuple[Path, ast.Call]]:
    """Every call in a source that may have to do with logging, with its file."""
    ours = [path for path in SOURCE.rglob("*.py") if path.relative_to(SOURCE).parts[0] != "testing"]
    sources = [*ours, *(ROOT / "adapters").rglob("*.py")]
    texts = {path: path.read_text() for path in sorted(sources)}
    return [
        (path, node)
        for path, text in texts.items()
        if "log" in text  # as in `logging`, and in the name of whatever is asked to log
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"getLogger", *METHODS}
    ]


@functools.cache
def logged() -> list[Call]:
    found = []
    for path, node in called():
        if (
            isinstance(node.func, ast.Attribute)
            and node.func.attr in METHODS
            and isinstance(node.func.value, ast.Name)
            and "log" in node.func.value.id
        ):
            arguments = node.args[1:] if node.func.attr == "log" else node.args
            template = arguments[0]
            text = template.value if isinstance(template, ast.Constant) else None
            values = sum(2 if isinstance(value, ast.Starred) else 1 for value in arguments[1:])
            found.append(Call(f"{path.name}:{node.lineno}", str(text), values))
    return found


def test_every_message_that_is_logged_has_its_event_in_the_table() -> None:
    """A new message? Give it a name, and its values names, in `gatekeeper.telemetry.events`."""
    fields = {event.template: len(event.fields) for event in EVENTS}
    unnamed = [call for call in logged() if call.template not in fields]
    assert not unnamed
    assert not [call for call in logged() if fields[call.template] != call.values]
    assert len(logged()) > 50


def test_every_event_of_the_table_is_logged_somewhere_and_is_there_once() -> None:
    templates = {call.template for call in logged()}
    assert not [event for event in EVENTS if event.template not in templates]
    assert max(Counter(event.name for event in EVENTS).values()) == 1
    assert max(Counter(event.template for event in EVENTS).values()) == 1


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_the_fields_of_an_event_are_those_of_its_template(event: LogEvent) -> None:
    name, template, fields = event
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", name)
    assert len(VALUE.findall(template)) == len(fields) == len(set(fields))
    assert not set(fields) & _OWN, "a field must not take the place of what every record has"


def test_every_logger_is_among_those_that_are_structured() -> None:
    asked = {
        node.args[0].value
        for _, node in called()
        if node.args
        and ast.unparse(node.func) == "logging.getLogger"
        and isinstance(node.args[0], ast.Constant)
    }
    assert asked == set(LOGGERS)


def test_the_page_shows_the_events_as_they_are() -> None:
    rows = [f"| `{one.name}` | {one.template} | {names(one.fields)} |" for one in EVENTS]
    assert "\n".join(rows) in PAGE


# -- records --------------------------------------------------------------------------------------


def test_a_record_has_its_events_name_and_fields(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("gatekeeper.webhooks").error(
        "event %s (%s) is a dead letter after %d attempts: %s", "evt_1", "a.b", 3, ValueError("x")
    )
    (record,) = caplog.records
    fields = {"event_name": "dispatch.dead_letter", "stripe_event": "evt_1", "event_type": "a.b"}
    assert vars(record).items() >= {**fields, "attempts": 3, "reason": "x"}.items()
    assert record.getMessage() == "event evt_1 (a.b) is a dead letter after 3 attempts: x"


def test_a_message_that_is_no_event_of_ours_passes_as_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logging.getLogger("gatekeeper").warning("a host's own %s", "words", extra={"request": 7})
    (record,) = caplog.records
    assert record.getMessage() == "a host's own words"
    assert not hasattr(record, "event_name")


SECRETS = {
    "sk_live_51Habc": "sk_...",
    "rk_test_51Habc": "rk_...",
    "pk_test_51Habc": "pk_...",
    "whsec_abc123": "whsec_...",
    "pi_3Nabc_secret_XyZ09": "pi_3Nabc_secret_...",
    "seti_1Nabc_secret_XyZ": "seti_1Nabc_secret_...",
    "cs_test_a1_secret_fid": "cs_test_a1_secret_...",
    "Authorization: Bearer abc.def-ghi": "Authorization: Bearer ...",
    "authorization=basic dXNlcjpwYXNz": "authorization=basic ...",
    "v1=" + "0f" * 32: "v1=...",
    "postgresql+asyncpg://app:hunter2@db/shop": "postgresql+asyncpg://...@db/shop",
    "redis://:hunter2@cache:6379/0": "redis://...@cache:6379/0",
    "ada.love+x@mail.example.com": "[email]",
    "4242424242424242": "[card]",
    "4000 0566 5566 5556": "[card]",
    "5555-5555-5555-4444": "[card]",
    "378282246310005": "[card]",
    "6011111111111117": "[card]",
}


@pytest.mark.parametrize(("secret", "shown"), SECRETS.items())
def test_a_secret_is_blotted_out(secret: str, shown: str) -> None:
    assert redact(f"it was '{secret}', they said") == f"it was '{shown}', they said"


@pytest.mark.parametrize(
    "harmless",
    [
        "evt_1Nabc4242424242424242",
        "sub_1 (customer.subscription.updated), attempt 3",
        "4242424242424241",  # no card: its check digit is wrong
        "1763740800000 ms",
        "2026-11-21T16:00:00.123456+00:00",
        "the secret_santa of task_force_one",
        "hold 0190a1b2-c3d4-7e5f-8a9b-424242424242",
        "https://example.com/pay?at=noon",
        "bearer of news",
        "CONSTRAINT pk_gatekeeper_customers",
    ],
)
def test_what_is_no_secret_stays_as_it_is(harmless: str) -> None:
    assert redact(harmless) == harmless


def test_a_secret_is_in_no_part_of_a_record(caplog: pytest.LogCaptureFixture) -> None:
    secret = "sk_live_" + "a" * 20
    try:
        raise RuntimeError(f"the host wrote {secret} to ada@example.com")
    except RuntimeError:
        logging.getLogger("gatekeeper").exception(
            "hold %s of %s was not settled", "hold_1", "ada@example.com", extra={"note": secret}
        )
    (record,) = caplog.records
    told = vars(record)
    assert (told["customer"], told["note"]) == ("[email]", "sk_...")
    for formatter in (logging.Formatter(), JsonFormatter()):
        shown = formatter.format(record)
        assert "RuntimeError: the host wrote sk_... to [email]" in shown
        assert secret not in shown
        assert "ada" not in shown
    assert record.exc_info is None  # for what would format the exception by itself
    assert secret not in repr(vars(record))


def test_a_traceback_without_secrets_goes_on_with_its_exception(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = RuntimeError("nothing to hide")
    logging.getLogger("gatekeeper").error("a batch failed", exc_info=error)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    line = json.loads(JsonFormatter().format(record))
    assert "RuntimeError: nothing to hide" in line.pop("exception")
    assert line.pop("timestamp").endswith("+00:00")
    assert line == {
        "level": "ERROR",
        "logger": "gatekeeper",
        "message": "a batch failed",
        "event_name": "ledger.batch_failed",
    }


def test_the_json_formatter_redacts_other_loggers_and_takes_any_value() -> None:
    record = logging.makeLogRecord(
        {"name": "app", "msg": "paid by %s", "args": ("4242424242424242",), "at": Path("x")}
    )
    line = json.loads(JsonFormatter().format(record))
    assert (line["message"], line["at"]) == ("paid by [card]", "x")


class Unshowable:
    def __str__(self) -> str:
        raise ValueError("sk_live_inside")


@pytest.mark.parametrize(
    ("message", "values"),
    [("too few %s %s", ("one",)), ("a batch failed", ("too many",)), ("%s", (Unshowable(),))],
)
def test_a_message_that_can_not_be_formatted_harms_nobody(
    caplog: pytest.LogCaptureFixture, message: str, values: tuple[object, ...]
) -> None:
    logging.getLogger("gatekeeper").warning(message, *values)
    (record,) = caplog.records
    assert "a message whose values can't be shown, of test_logs.py" in record.getMessage()


def test_a_message_that_is_no_text_is_redacted_too(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("gatekeeper").warning({"to": ["ada@example.com"]})
    assert caplog.records[0].getMessage() == "{'to': ['[email]']}"


def test_what_is_nested_in_a_field_is_redacted_as_json() -> None:
    record = logging.makeLogRecord({"msg": "x", "params": {"card": ["4242424242424242"]}})
    assert json.loads(JsonFormatter().format(record))["params"] == {"card": ["[card]"]}


@pytest.mark.parametrize("start", ["a.", "http://a:", "pi_a_", "4 ", "a@a.", "Bearer "])
def test_redaction_takes_no_longer_than_the_text_is_long(start: str) -> None:
    long = start * (100_000 // len(start)) + "@"
    begun = time.process_time()
    redact(long)
    assert time.process_time() - begun < 2.0


# -- the story ------------------------------------------------------------------------------------

STORY = """
import logging, runpy, sys

class EachLine(logging.Formatter):
    def format(self, record):
        return "LOG " + super().format(record).replace("\\n", "\\nLOG ")

handler = logging.StreamHandler(sys.stderr)
handler.setFormatter(EachLine("%(name)s %(message)s"))
logging.basicConfig(level=logging.DEBUG, handlers=[handler], force=True)
logging.getLogger("sqlalchemy").setLevel(logging.INFO)  # at DEBUG it shows rows, as it should
sys.path.insert(0, sys.argv[1])
sys.argv = ["ai_chat", "--check"]
runpy.run_module("examples.ai_chat", run_name="__main__")
"""


def test_the_demos_story_logs_no_secret_and_no_card_at_debug() -> None:
    done = subprocess.run(
        [*warm.python(), "-c", STORY, str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    logged = [line for line in done.stderr.splitlines() if line.startswith("LOG ")]
    loggers = {line.split()[1] for line in logged if len(line.split()) > 1}
    assert {"stripe", "httpx", "sqlalchemy.engine.Engine"} <= loggers  # those who would tell, log
    assert not [line for line in logged if redact(line) != line]


EMAIL = "ada@example.com"
TOKEN = "sk_live_" + "9" * 24


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """All that is logged, at DEBUG, as a host's handler formats it."""
    shown: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            shown.append(f"{record.name} {self.format(record)}")

    handler, root, engine = Handler(), logging.getLogger(), logging.getLogger("sqlalchemy")
    levels = root.level, engine.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    engine.setLevel(logging.INFO)
    yield shown
    root.removeHandler(handler)
    root.setLevel(levels[0])
    engine.setLevel(levels[1])


@pytest.mark.anyio
async def test_a_story_in_which_much_goes_wrong_logs_nothing_that_is_secret(
    stripe_sim: Simulator, tmp_path: Path, lines: list[str]
) -> None:
    settings = Settings.load(
        database_url=f"sqlite:///{tmp_path / 'shop.db'}",
        schema_auto_upgrade=True,
        inline_dispatch=True,
        dispatch_max_attempts=1,
        outbox_max_attempts=1,
        stripe_secret_key=stripe_sim.settings.api_key,
        stripe_api_base=stripe_sim.url,
        stripe_webhook_secret=SECRET,
        redis_url=f"redis://app:{TOKEN}@127.0.0.1:1/0",
    )
    gate = Gatekeeper(CATALOG, settings, clock=lambda: stripe_sim.now)

    @gate.webhooks.on("customer.subscription.created")
    async def fails(event: WebhookEvent) -> None:
        raise RuntimeError(f"no mail to {EMAIL}: Authorization: Bearer {TOKEN}")

    @gate.on("subscription.changed", "payment.succeeded", name="crm")
    async def fails_too(signal: Signal) -> None:
        raise UndeliverableError(f"{EMAIL} pays with 4242 4242 4242 4242")

    async with gate.connected():
        await subscribed(gate, stripe_sim)
        for event in reversed(stripe_sim.client().v1.events.list({"limit": 100}).data):
            body = msgspec.json.encode(event.to_dict())
            assert await gate.receiver.receive(body, sign(body, SECRET, datetime.now(UTC)))
        with pytest.raises(SignatureError):
            await gate.receiver.receive(body, sign(body, f"whsec_{TOKEN}", datetime.now(UTC)))
        await gate.freeze("org_1", f"ask {EMAIL}", key="note/1")
        await gate.reconciler.run(RunOptions(dry_run=True))
    told = " ".join(lines)
    events = {"dead letter after 1 attempts", "are frozen", "reconciled (dry run)"}
    assert not [one for one in events if one not in told]
    assert "no mail to [email]" in told
    assert not [line for line in lines if redact(line) != line]
    for secret in (EMAIL, TOKEN, SECRET, stripe_sim.settings.api_key, "4242 4242"):
        assert secret not in told
