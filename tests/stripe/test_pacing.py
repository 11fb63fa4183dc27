"""How fast we ask, when we stop asking, and what is logged of it."""

import asyncio
import logging
import traceback
from contextlib import suppress
from typing import Any

import anyio
import httpx
import pytest
import stripe

from gatekeeper.circuit import Circuit
from gatekeeper.errors import GatekeeperError, StripeRequestError, StripeUnavailableError
from gatekeeper.stripe.client import Limits, StripeGateway
from gatekeeper.stripe.pacing import Pace, TokenBucket, TooManyWaitingError
from gatekeeper.testing.stripe import Simulator
from gatekeeper.testing.stripe.faults import FaultKind

pytestmark = pytest.mark.anyio


class Time:
    """Seconds that pass when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


def paced(time: Time, **more: Any) -> Pace:
    wanted = {"per_second": 2, "at_once": 9, "max_wait_seconds": 5, **more}
    return Pace(**wanted, monotonic=time, sleep=time.sleep)


async def test_a_burst_of_a_second_goes_at_once_and_the_rest_waits_for_its_turn() -> None:
    time = Time()
    bucket = TokenBucket(2, time)
    assert [bucket.take(5) for _ in range(5)] == [0, 0, 0.5, 1.0, 1.5]
    assert bucket.take(1.9) is None
    time.now += 60
    assert [bucket.take(5) for _ in range(3)] == [0, 0, 0.5]


async def test_reads_and_writes_have_turns_of_their_own() -> None:
    time = Time()
    pace = paced(time)
    for writes in (False, False, True, True, True):
        async with pace.turn(writes=writes):
            pass
    assert time.slept == [0.5]


async def test_what_would_wait_for_too_long_is_refused() -> None:
    time = Time()
    pace = paced(time)
    pace.rest("6")
    with pytest.raises(TooManyWaitingError):
        async with pace.turn(writes=True):
            pass
    assert time.slept == []


@pytest.mark.parametrize(
    ("header", "seconds"), [("3", 3), ("0.5", 0.5), (None, 1), ("Wed, 21 Oct", 1), ("9999", 60)]
)
async def test_a_429_makes_everybody_rest_for_as_long_as_it_says(
    header: str | None, seconds: float
) -> None:
    time = Time()
    pace = paced(time, max_wait_seconds=100)
    pace.rest(header)
    async with pace.turn(writes=False):
        pass
    assert time.slept == [seconds]


async def test_no_more_run_at_once_than_are_allowed() -> None:
    pace = Pace(per_second=1_000, at_once=2, max_wait_seconds=0.05)
    async with pace.turn(writes=True), pace.turn(writes=False):
        with pytest.raises(TooManyWaitingError):
            async with pace.turn(writes=False):
                pass
    with anyio.fail_after(1):
        async with pace.turn(writes=False):
            pass


async def test_a_rest_that_begins_while_one_waits_for_a_turn_counts() -> None:
    time = Time()
    pace = paced(time, per_second=1)
    async with pace.turn(writes=True):
        pass
    sleep = time.sleep

    async def limited_meanwhile(seconds: float) -> None:
        pace._sleep = sleep
        pace.rest("3")
        await sleep(seconds)

    pace._sleep = limited_meanwhile
    async with pace.turn(writes=True):
        pass
    assert time.slept == [1.0, 2.0]
    pace._sleep = limited_meanwhile
    pace.rest("2.5")
    pace._max_wait_seconds = 2.8
    with pytest.raises(TooManyWaitingError):  # the second rest would be too long
        async with pace.turn(writes=True):
            pass


class Answers:
    """Answers in Stripe's place, in their order; the last for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: httpx.Response | Exception):
        self.left = list(answers)
        self.asked = 0
        monkeypatch.setattr(httpx.AsyncClient, "request", self)
        monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0.0)

    async def __call__(self, *args: Any, **options: Any) -> httpx.Response:
        self.asked += 1
        answer = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def refused(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": "no"}}, headers=headers)


FINE = httpx.Response(200, json={"id": "cus_1", "object": "customer"})


async def test_a_429_is_sent_again_after_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    limited = refused(429, **{"Retry-After": "0"})
    answers = Answers(monkeypatch, limited, limited, FINE)
    async with StripeGateway("sk_test_1") as gateway:
        assert await gateway.fetch("customer", "cus_1") is not None
        assert gateway.circuit.is_closed
    assert answers.asked == 3


async def test_a_429_about_a_locked_object_rests_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers(
        monkeypatch, refused(429, **{"Stripe-Rate-Limited-Reason": "resource-specific"})
    )
    async with StripeGateway("sk_test_1") as gateway:
        with pytest.raises(StripeUnavailableError):
            await gateway.fetch("customer", "cus_1")
    assert answers.asked == 1


async def test_what_waits_for_too_long_here_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    Answers(monkeypatch, refused(429, **{"Retry-After": "60"}))
    async with StripeGateway("sk_test_1", timeout_seconds=1) as gateway:
        with pytest.raises(StripeUnavailableError):
            await gateway.fetch("customer", "cus_1")


async def test_outages_in_a_row_open_the_circuit_and_one_answer_closes_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    time = Time()
    monkeypatch.setattr("gatekeeper.stripe.connection.monotonic", time)
    limits = Limits(outage_threshold=2, outage_retry_seconds=10)
    away = httpx.ConnectError("nobody")
    answers = Answers(monkeypatch, away, refused(400), away, refused(500), away, FINE)

    async def ask(gateway: StripeGateway) -> Any:
        return await gateway.fetch("customer", "cus_1")

    async with StripeGateway("sk_test_1", limits=limits, max_network_retries=0) as gateway:
        with pytest.raises(StripeUnavailableError):
            await ask(gateway)
        with pytest.raises(StripeRequestError):  # a refusal is an answer
            await ask(gateway)
        for asked in (3, 4, 4, 4):
            with pytest.raises(StripeUnavailableError):
                await ask(gateway)
            assert answers.asked == asked
        assert not gateway.circuit.is_closed
        time.now += 10
        for _ in range(2):  # one tries, and is not answered
            with pytest.raises(StripeUnavailableError):
                await ask(gateway)
        assert answers.asked == 5
        time.now += 10
        assert await ask(gateway) is not None
        assert gateway.circuit.is_closed
    told = [record.levelname for record in caplog.records if record.name == "gatekeeper.stripe"]
    assert told == ["ERROR", "WARNING"]


async def test_what_waits_for_too_long_here_says_nothing_of_stripe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Answers(monkeypatch, FINE)
    limits = Limits(per_second=1, outage_threshold=1)
    async with StripeGateway("sk_test_1", limits=limits, timeout_seconds=0.5) as gateway:
        await gateway.fetch("customer", "cus_1")
        with pytest.raises(StripeUnavailableError, match="wait for their turn"):
            await gateway.fetch("customer", "cus_1")
        assert gateway.circuit.is_closed


async def test_one_attempt_at_a_time_finds_out_whether_stripe_answers_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = Time()
    monkeypatch.setattr("gatekeeper.stripe.connection.monotonic", time)
    answers = Answers(monkeypatch, httpx.ConnectError("nobody"))
    limits = Limits(outage_threshold=1, outage_retry_seconds=10)
    async with StripeGateway("sk_test_1", limits=limits, timeout_seconds=20) as gateway:

        async def ask() -> bool:
            try:
                return await gateway.fetch("customer", "cus_1") is not None
            except StripeUnavailableError:
                return False

        assert not await ask()
        assert answers.asked == 3  # with its retries
        time.now += 10
        assert not await ask()
        assert answers.asked == 4  # the try has none

        asked, answered = anyio.Event(), anyio.Event()

        async def slow(*args: Any, **options: Any) -> httpx.Response:
            asked.set()
            await answered.wait()
            return FINE

        monkeypatch.setattr(httpx.AsyncClient, "request", slow)
        time.now += 10
        done: list[bool] = []

        async def attempt() -> None:
            done.append(await ask())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attempt)
            await asked.wait()
            time.now += 11  # longer than between two tries
            gateway.circuit.failed(OSError("asked before it opened"), is_try=False)
            assert not await ask()
            answered.set()
        assert done == [True]
        assert gateway.circuit.is_closed


async def test_whoever_has_less_patience_than_all_attempts_take_opens_the_circuit_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A handler's time limit, say: it cancels a request to a Stripe that hangs, each time."""
    time, asked = Time(), anyio.Event()
    monkeypatch.setattr("gatekeeper.stripe.connection.monotonic", time)
    monkeypatch.setattr("gatekeeper.stripe.telling.monotonic", time)

    async def hang(*args: Any, **options: Any) -> httpx.Response:
        asked.set()
        await anyio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(httpx.AsyncClient, "request", hang)
    limits = Limits(outage_threshold=2, outage_retry_seconds=10)

    async def give_up(gateway: StripeGateway, after_seconds: float) -> None:
        nonlocal asked
        asked = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(gateway.fetch, "customer", "cus_1")
            await asked.wait()
            time.now += after_seconds
            tasks.cancel_scope.cancel()

    async with StripeGateway("sk_test_1", limits=limits, timeout_seconds=20) as gateway:
        for _ in range(3):
            await give_up(gateway, 9.9)  # who goes away soon says nothing of Stripe
        assert gateway.circuit.is_closed
        await give_up(gateway, 10)
        assert gateway.circuit.is_closed
        await give_up(gateway, 10)
        assert not gateway.circuit.is_closed
        with pytest.raises(StripeUnavailableError, match="has not answered for a while"):
            await gateway.fetch("customer", "cus_1")
        time.now += 10
        await give_up(gateway, 10)  # the try
        with pytest.raises(StripeUnavailableError, match="has not answered for a while"):
            await gateway.fetch("customer", "cus_1")


async def test_a_request_that_is_given_up_after_an_attempt_that_failed_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = anyio.Event()

    async def fail_then_hang(*args: Any, **options: Any) -> httpx.Response:
        if not tried:
            tried.append(1)
            raise httpx.ReadTimeout("")
        asked.set()
        await anyio.sleep_forever()
        raise AssertionError

    tried: list[int] = []
    monkeypatch.setattr(httpx.AsyncClient, "request", fail_then_hang)
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0.0)
    limits = Limits(outage_threshold=1)
    async with StripeGateway("sk_test_1", limits=limits) as gateway:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(gateway.fetch, "customer", "cus_1")
            await asked.wait()
            tasks.cancel_scope.cancel()
        assert not gateway.circuit.is_closed


async def test_an_answer_that_comes_drop_by_drop_is_given_up(free_port: int) -> None:
    """httpx bounds each wait for some more bytes, and not all of them together."""

    gone = anyio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{")
        with suppress(ConnectionError):
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()
        gone.set()

    base = f"http://127.0.0.1:{free_port}"
    gateway = StripeGateway("sk_test_1", api_base=base, max_network_retries=0, timeout_seconds=0.2)
    server = await asyncio.start_server(drip, "127.0.0.1", free_port)
    with anyio.fail_after(10):
        async with server, gateway:
            with pytest.raises(StripeUnavailableError, match="did not answer"):
                await gateway.fetch("customer", "cus_1")
            await gone.wait()


async def test_a_try_that_was_called_off_does_not_lock_the_circuit() -> None:
    time = Time()
    circuit = Circuit(retry_seconds=1, try_seconds=5, monotonic=time, on_change=lambda change: None)
    circuit.failed(OSError())
    time.now += 1
    assert circuit.allows()  # and nothing comes of it
    time.now += 4.9
    assert not circuit.allows()
    time.now += 0.1
    assert circuit.allows()


@pytest.mark.parametrize(
    "fault", ["server_error", "unavailable", "rate_limited", "dropped", "lost", None]
)
async def test_no_error_shows_a_secret_or_what_a_customer_said(
    fault: FaultKind | None,
    stripe_sim: Simulator,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0.0)
    caplog.set_level(logging.DEBUG)
    if fault is not None:
        stripe_sim.misbehave(fault, times=None, retry_after=0)
    key = stripe_sim.settings.api_key if fault else "sk_test_51WrongKey4242"
    gateway = StripeGateway(key, api_base=stripe_sim.url)
    said = {"email": "ada@example.com", "name": "Ada 4242424242424242"}
    try:
        async with gateway:
            await gateway.post("/v1/customers", said, what="customers create")
    except GatekeeperError as error:
        logging.getLogger("host").exception("it failed")
        shown = ["".join(traceback.format_exception(error)), repr(error), str(error.params)]
    seen = "\n".join(
        [*shown, repr(gateway), str(vars(gateway._connection).get("_client")), caplog.text]
    )
    for secret in (key, "ada", "4242", "%40"):
        assert secret not in seen.lower()


@pytest.mark.parametrize("how", ["variable", "attribute"])
async def test_what_the_package_prints_by_itself_has_no_bodies(
    how: str,
    stripe_sim: Simulator,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stripe, "log", "debug" if how == "attribute" else None)
    if how == "variable":
        monkeypatch.setenv("STRIPE_LOG", "debug")
        monkeypatch.setattr("stripe._util.STRIPE_LOG", "debug")  # it has read the variable before
    async with StripeGateway(stripe_sim.settings.api_key, api_base=stripe_sim.url) as gateway:
        params = {"url": "https://app.test/hooks", "enabled_events": ["*"]}
        made = await gateway.post("/v1/webhook_endpoints", params, what="endpoint")
    printed = capfd.readouterr().err
    assert "/v1/webhook_endpoints" in printed
    assert made["secret"] not in printed
    assert "app.test" not in printed


async def test_no_logger_tells_a_secret_or_what_a_customer_said(
    stripe_sim: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = stripe_sim.settings.api_key
    async with StripeGateway(key, api_base=stripe_sim.url) as gateway:
        params = {"email": "ada@example.com", "name": "Ada 4242424242424242"}
        made = await gateway.post("/v1/customers", params, what="customers create")
        await gateway.listed("/v1/customers", {"email": "ada@example.com"}, what="customers")
        with pytest.raises(StripeRequestError):
            await gateway.post("/v1/checkout/sessions", {"mode": "x"}, what="sessions create")
    assert made["email"] == "ada@example.com"
    heard = {record.name.partition(".")[0] for record in caplog.records}
    assert {"stripe", "httpx"} <= heard
    for secret in (key, "ada", "4242", "%40"):
        assert secret not in caplog.text.lower()
