"""Looking over everything."""

from datetime import timedelta

import pytest

from gatekeeper.ledger import Release, settle
from gatekeeper.storage.metering import WindowStatus
from gatekeeper.storage.outgoing import RequestStatus
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import EventStatus
from gatekeeper.storage.survey import Backlog
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import HOUR, NOW


class SurveyConformance:
    """What every store must see. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_an_empty_store_has_nothing_that_waits(self, store: Store) -> None:
        survey = await store.read(lambda tx: tx.survey.take(NOW))
        assert survey.inbox == survey.outbox == survey.usage == survey.requests == Backlog()
        assert (survey.holds_open, survey.unsealed_since) == (0, None)
        assert survey.at == NOW
        assert survey.inbox.age_seconds(NOW) == 0

    async def test_this_release_can_work_on_the_schema(self, store: Store) -> None:
        assert await store.read(lambda tx: tx.survey.schema_fault()) is None

    async def test_events_that_wait_and_dead_ones_are_counted(self, store: Store) -> None:
        def work(tx: Transaction) -> None:
            tx.inbox.insert(samples.event("evt_1", received_at=NOW - HOUR))
            tx.inbox.insert(samples.event("evt_2", received_at=NOW))
            tx.inbox.insert(samples.event("evt_3", status=EventStatus.DEAD))
            tx.inbox.insert(samples.event("evt_4", status=EventStatus.DONE))

        await store.write(work)
        survey = await store.read(lambda tx: tx.survey.take(NOW))
        assert survey.inbox == Backlog(waiting=2, oldest_at=NOW - HOUR, dead=1)
        assert survey.inbox.age_seconds(NOW) == 3600
        assert survey.inbox.age_seconds(NOW - 2 * HOUR) == 0  # clocks may differ a little

    async def test_messages_that_wait_and_dead_ones_are_counted(self, store: Store) -> None:
        def work(tx: Transaction) -> None:
            tx.outbox.add(
                [
                    samples.message("msg_1", created_at=NOW - HOUR),
                    samples.message("msg_2", created_at=NOW),
                    samples.message("msg_3", created_at=NOW - 2 * HOUR),
                    samples.message("msg_4", created_at=NOW - 2 * HOUR),
                ]
            )
            tx.outbox.sent("msg_3", NOW)
            tx.outbox.failed("msg_4", "boom", due_at=None)

        await store.write(work)
        survey = await store.read(lambda tx: tx.survey.take(NOW))
        assert survey.outbox == Backlog(waiting=2, oldest_at=NOW - HOUR, dead=1)

    async def test_windows_that_wait_and_dead_ones_are_counted(self, store: Store) -> None:
        def work(tx: Transaction) -> None:
            for number, status in enumerate(WindowStatus):
                tx.metering.add_window(
                    samples.usage_window(
                        f"win_{number}",
                        identifier=f"id_{number}",
                        status=status,
                        created_at=NOW - timedelta(hours=number),
                    )
                )

        await store.write(work)
        survey = await store.read(lambda tx: tx.survey.take(NOW))
        pending = list(WindowStatus).index(WindowStatus.PENDING)
        since = NOW - timedelta(hours=pending)
        assert survey.usage == Backlog(waiting=1, oldest_at=since, dead=1)

    async def test_usage_that_is_in_no_window_is_noticed(self, store: Store) -> None:
        rows = [
            samples.usage("1", at=NOW - 2 * HOUR, received_at=NOW - HOUR),
            samples.usage("2", at=NOW - 3 * HOUR, window_id="sealed"),
            samples.usage("3", at=NOW),
            samples.usage("4", "bob", at=NOW - 4 * HOUR, received_at=NOW - 4 * HOUR),
        ]
        await store.write(lambda tx: tx.metering.record(rows))
        survey = await store.read(lambda tx: tx.survey.take(NOW))
        assert survey.unsealed_since == NOW - HOUR

    async def test_requests_whose_end_is_not_known_are_counted(self, store: Store) -> None:
        def work(tx: Transaction) -> None:
            for number, status in enumerate(RequestStatus):
                ended_at = None if status is RequestStatus.OPEN else NOW
                at = NOW - timedelta(hours=number)
                request = samples.request(
                    f"req_{number}", status=status, created_at=at, ended_at=ended_at
                )
                tx.requests.insert(request)

        await store.write(work)
        survey = await store.read(lambda tx: tx.survey.take(NOW))
        since = NOW - timedelta(hours=list(RequestStatus).index(RequestStatus.OPEN))
        assert survey.requests == Backlog(waiting=1, oldest_at=since)

    async def test_holds_that_are_open_are_counted_for_everybody(self, store: Store) -> None:
        def work(tx: Transaction) -> None:
            for customer in ("ada", "bob"):
                samples.fund(tx, 10, customer)
                samples.hold(tx, "hold_1", 2, customer)
            held = samples.hold(tx, "hold_2", 3, "bob").hold
            assert held is not None
            account = tx.ledger.account("bob", "credits", lock=True)
            tx.ledger.save(account, settle(account, held, Release(), NOW))

        await store.write(work)
        survey = await store.read(lambda tx: tx.survey.take(NOW))
        assert survey.holds_open == 2
