"""The webhook route under requests that nobody should send.

Whatever comes: no exception and no 5xx, one of the documented statuses, nothing stored unless the
answer is a 200, and the body stored as it came where it is one. And the bodies that are at hand
take no more memory than is allowed to all of them together.
"""

import gc
import hashlib
import json
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette

from gatekeeper.asgi import App, BodyLimits, webhook_route
from gatekeeper.asgi.bodies import Bodies
from gatekeeper.storage.desk import EventSelection
from gatekeeper.storage.memory import MemoryStore
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import EventStatus, InboxEvent
from gatekeeper.stripe.webhooks import WebhookReceiver, WebhookRegistry
from gatekeeper.testing.events import DEFAULT_SECRET, make_event, signed
from tests.stripe.webhooks.fuzz import MAX_BODY_BYTES, Attempt, Message, attempt
from tests.stripe.world import ManualClock, World

pytestmark = [pytest.mark.anyio, pytest.mark.unmeasured]

DOCUMENTED = {200, 400, 405, 408, 413}
SAMPLE = 1_000
ALL = 20_000
WARM = 4_000
AT_ONCE = 20
STALLED_SECONDS = 0.05


def receiver_on(store: Store, clock: ManualClock) -> WebhookReceiver:
    return WebhookReceiver(
        WebhookRegistry(),
        store,
        [DEFAULT_SECRET],
        livemode=False,
        max_body_bytes=MAX_BODY_BYTES,
        clock=clock,
    )


def app_of(receiver: WebhookReceiver) -> App:
    limits = BodyLimits(timeout_seconds=STALLED_SECONDS)
    return Starlette(routes=[webhook_route(receiver, "/", limits=limits)])


async def post(
    app: App, headers: Any, messages: Sequence[Message | None], method: str = "POST"
) -> tuple[int, bytes]:
    """Send one request as a server would; its answer. An exception of the app is one here."""
    coming, answer = iter(messages), []

    async def receive() -> Message:
        message = next(coming, {"type": "http.disconnect"})
        if message is None:
            await anyio.sleep_forever()
        assert message is not None
        return message

    async def send(message: Any) -> None:
        answer.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("192.0.2.1", 443),
        "server": ("host.test", 443),
    }
    await app(scope, receive, send)
    starts = [one for one in answer if one["type"] == "http.response.start"]
    assert len(starts) == 1
    return starts[0]["status"], b"".join(one.get("body", b"") for one in answer)


def names(body: bytes) -> set[str]:
    """How an event of this body may be known: by its id, and its account where it has one."""
    event = json.loads(body)
    owners = {"", str(event.get("account")), str(event.get("context")).rstrip("/").split("/")[-1]}
    return {f"{owner}/{event['id']}" for owner in owners}


def digest(body: bytes | None) -> bytes:
    """What is kept here of a body: the memory is measured."""
    return hashlib.sha256(body or b"").digest()


async def stored_in(store: Store) -> dict[str, bytes]:
    """The events that are stored, and the digests of their bodies."""

    def work(tx: Transaction) -> dict[str, bytes]:
        found: Sequence[InboxEvent] = tx.desk.find(EventSelection(), ALL)
        whole = (tx.inbox.get(event.key) for event in found)
        return {event.key: digest(event.payload) for event in whole if event is not None}

    return await store.read(work)


class Memory:
    """What the process has allocated, but for what the tests have."""

    def __init__(self) -> None:
        tracemalloc.start()
        self.grown = self.peak = 0
        self._before: int | None = None

    def look(self) -> None:
        """Look: the first time for what is there when all is warm."""
        gc.collect()
        snapshot = tracemalloc.take_snapshot()
        ours = snapshot.filter_traces(
            [tracemalloc.Filter(False, "*/tests/*"), tracemalloc.Filter(False, "*/tracemalloc.py")]
        )
        held = sum(trace.size for trace in ours.traces)
        now, peak = tracemalloc.get_traced_memory()
        if self._before is None:
            self._before = held
        self.grown, self.peak = held - self._before, peak - now
        tracemalloc.reset_peak()

    def end(self) -> None:
        """Measure no more."""
        tracemalloc.stop()


async def fuzz(
    store: Store, clock: ManualClock, numbers: range, memory: Memory | None = None
) -> Counter[int]:
    receiver = receiver_on(store, clock)
    app = app_of(receiver)
    accepted: dict[bytes, set[str]] = {}
    statuses: Counter[int] = Counter()

    async def send(one: Attempt) -> None:
        try:
            status, body = await post(app, one.headers, one.messages, one.method)
        except Exception as error:
            raise AssertionError(f"{one!r} is an exception") from error
        assert status in DOCUMENTED, f"{one!r} is answered with {status}"
        assert DEFAULT_SECRET.encode() not in body
        if status not in {200, 405}:
            assert json.loads(body)["status"] == status, one
        if status == 200:
            accepted[digest(one.body)] = names(one.body)
        statuses[status] += 1

    for first in range(numbers.start, numbers.stop, AT_ONCE):
        async with anyio.create_task_group() as group:
            for number in range(first, min(first + AT_ONCE, numbers.stop)):
                group.start_soon(send, attempt(number))
        if memory is not None and first == numbers.start + WARM:
            memory.look()
    if memory is not None:
        memory.look()
    assert statuses.total() == len(numbers)
    stored = await stored_in(store)
    assert set(stored.values()) <= accepted.keys()  # nothing else is in, and each as it came
    assert all(not known.isdisjoint(stored) for known in accepted.values())  # nothing is lost
    await receiver.drain()  # nor is any of it poison
    counts = await store.read(lambda tx: tx.inbox.counts())
    assert sum(counts.values()) == counts[EventStatus.DONE] + counts[EventStatus.IGNORED]
    return statuses


async def test_whatever_comes_is_answered_and_only_what_is_accepted_is_stored(
    world: World,
) -> None:
    statuses = await fuzz(world.store, world.clock, range(SAMPLE))
    assert set(statuses) == DOCUMENTED  # the sample reaches all of it
    assert statuses[200] > SAMPLE / 8
    assert statuses[400] > SAMPLE / 3


@pytest.mark.long
@pytest.mark.timeout(1_800)
async def test_twenty_thousand_requests_are_answered_and_leave_nothing_in_the_memory(
    world: World,
) -> None:
    """What is there after the first of them is warm; after that 100 bytes a request are a leak.
    (A store in memory keeps the events there: it shows the answers alone.)"""
    numbers = range(SAMPLE, SAMPLE + ALL)
    if isinstance(world.store, MemoryStore):
        assert set(await fuzz(world.store, world.clock, numbers)) == DOCUMENTED
        return
    memory = Memory()
    try:
        statuses = await fuzz(world.store, world.clock, numbers, memory)
    finally:
        memory.end()
    assert set(statuses) == DOCUMENTED
    assert memory.grown < (ALL - WARM) * 100
    assert memory.peak < AT_ONCE * 2**20  # of the longest headers and bodies, each some 0.6 MiB


# -- time and memory ------------------------------------------------------------------------------


def pieces(body: bytes, size: int) -> list[Message | None]:
    chunks: list[Message | None] = [
        {"type": "http.request", "body": body[at : at + size], "more_body": True}
        for at in range(0, len(body), size)
    ]
    return [*chunks, {"type": "http.request"}]


async def test_a_body_that_stops_coming_is_a_408_and_holds_nothing(
    memory_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Bodies] = []
    plain = Bodies.__init__

    def note(self: Bodies, limits: BodyLimits | None = None) -> None:
        plain(self, limits)
        made.append(self)

    monkeypatch.setattr(Bodies, "__init__", note)
    app = app_of(receiver_on(memory_world.store, memory_world.clock))
    status, body = await post(app, [], [*pieces(b"x" * 100, 10)[:-1], None])
    assert (status, json.loads(body)["code"]) == (408, "body_timeout")
    assert [one.held_bytes for one in made] == [0]


async def test_a_body_of_nothing_but_empty_messages_is_a_408_too(memory_world: World) -> None:
    """A server that always has the next message at hand never lets the clock have its say."""
    app = app_of(receiver_on(memory_world.store, memory_world.clock))

    class Endless(list[Message | None]):
        def __iter__(self) -> Any:
            while True:
                yield {"type": "http.request", "body": b"", "more_body": True}

    with anyio.fail_after(30):
        status, _ = await post(app, [], Endless())
    assert status == 408


async def test_all_bodies_together_take_no_more_memory_than_is_allowed(
    memory_world: World,
) -> None:
    """64 clients with half a MiB each, in small pieces, against an allowance of 4 MiB."""
    allowed, size, clients = 4 * 2**20, 2**19, 64
    receiver = memory_world.new_receiver(max_body_bytes=size)
    limits = BodyLimits(max_held_bytes=allowed)
    app = Starlette(routes=[webhook_route(receiver, "/", limits=limits)])
    piece = b"x" * 2_048
    statuses: Counter[int] = Counter()

    async def client() -> None:
        sent = 0

        async def receive() -> Message:
            nonlocal sent
            sent += 1
            await anyio.lowlevel.checkpoint()  # everybody's bodies grow side by side
            return {"type": "http.request", "body": piece, "more_body": sent * 2_048 < size}

        answer: list[Any] = []

        async def send(message: Any) -> None:
            answer.append(message)

        scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
        await app({**scope, "root_path": ""}, receive, send)
        statuses[answer[0]["status"]] += 1

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        async with anyio.create_task_group() as group:
            for _ in range(clients):
                group.start_soon(client)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert set(statuses) == {400, 503}  # the signature is missing, or there was no room
    # A growing bytearray keeps an eighth in reserve; one body is copied once, at its end.
    assert peak < allowed * 9 / 8 + 2 * size + clients * 20_000


async def test_who_finds_no_room_is_told_to_come_again_and_can(memory_world: World) -> None:
    receiver = memory_world.new_receiver()
    body, signature = signed(
        make_event("charge.succeeded", {"id": "ch_1", "object": "charge"}),
        at=memory_world.clock.now,
    )
    limits = BodyLimits(max_held_bytes=len(body))
    app = Starlette(routes=[webhook_route(receiver, "/", limits=limits)])
    headers = [(b"stripe-signature", signature.encode())]
    waiting = anyio.Event()
    answers: list[int] = []

    async def quick() -> None:
        answers.append((await post(app, headers, pieces(body, 100)))[0])

    async def held() -> None:
        """Keeps all the room until the other has been refused."""

        async def receive() -> Message:
            if not waiting.is_set():
                waiting.set()
                return {"type": "http.request", "body": b"x", "more_body": True}
            await anyio.sleep_forever()
            raise AssertionError

        async def send(message: Any) -> None:
            """To nobody."""

        scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
        await app({**scope, "root_path": ""}, receive, send)

    async with anyio.create_task_group() as group:
        group.start_soon(held)
        await waiting.wait()
        await anyio.lowlevel.checkpoint()
        await quick()
        group.cancel_scope.cancel()
    await quick()
    assert answers == [503, 200]
