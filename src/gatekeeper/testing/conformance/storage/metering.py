"""Metered usage."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import pytest
from msgspec.structs import replace

from gatekeeper.errors import ConflictError, TransactionConflictError
from gatekeeper.storage.metering import Marked, MeterDay, Unsealed, Usage, UsageWindow, WindowStatus
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import DAY, HOUR, NOW, SECOND


class MeteringConformance:
    """What every store must do with usage. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_usage_comes_back_as_recorded(self, store: Store) -> None:
        row = samples.usage(quantity=-(2**53) + 1)
        assert await store.write(lambda tx: tx.metering.record([row])) == 1
        found = await store.read(lambda tx: tx.metering.recorded("ada", "overage", "use_1"))
        assert found == row
        assert await store.read(lambda tx: tx.metering.recorded("ada", "other", "use_1")) is None

    async def test_usage_of_one_id_is_kept_once_for_each_customer_and_meter(
        self, store: Store
    ) -> None:
        rows = [samples.usage(), samples.usage(quantity=9), samples.usage(meter="other")]
        rows.append(samples.usage("use_1", "bob"))
        assert await store.write(lambda tx: tx.metering.record(rows)) == 3
        assert await store.write(lambda tx: tx.metering.record(rows)) == 0
        found = await store.read(lambda tx: tx.metering.recorded("ada", "overage", "use_1"))
        assert found is not None
        assert found.quantity == 2

    async def test_who_has_usage_in_no_window_is_told_with_the_earliest(self, store: Store) -> None:
        rows = [
            samples.usage("1", at=NOW - SECOND),
            samples.usage("2", at=NOW - HOUR),
            samples.usage("3", "bob", at=NOW),
            samples.usage("4", "bob", at=NOW - HOUR, window_id="w"),
            samples.usage("5", meter="other", at=NOW - DAY),
        ]
        await store.write(lambda tx: tx.metering.record(rows))
        found = await store.read(lambda tx: tx.metering.unsealed(NOW, 10))
        assert list(found) == [
            Unsealed("ada", "other", NOW - DAY),
            Unsealed("ada", "overage", NOW - HOUR),
        ]
        assert len(await store.read(lambda tx: tx.metering.unsealed(NOW, 1))) == 1

    async def test_marking_takes_what_is_in_the_window_and_in_no_other(self, store: Store) -> None:
        rows = [
            samples.usage("1", at=NOW, quantity=1),
            samples.usage("2", at=NOW + HOUR - SECOND, quantity=2),
            samples.usage("3", at=NOW + HOUR, quantity=4),
            samples.usage("4", at=NOW - SECOND, quantity=8),
            samples.usage("5", at=NOW, quantity=16, window_id="before"),
            samples.usage("6", "bob", at=NOW, quantity=32),
            samples.usage("7", at=NOW, quantity=64, meter="other"),
        ]
        await store.write(lambda tx: tx.metering.record(rows))

        def mark(tx: Transaction) -> Marked | None:
            return tx.metering.mark("ada", "overage", NOW, NOW + HOUR, "w")

        assert await store.write(mark) == Marked(2, 3, NOW + HOUR - SECOND)
        assert await store.write(mark) is None
        found = await store.read(lambda tx: tx.metering.recorded("ada", "overage", "2"))
        assert found == replace(rows[1], window_id="w")
        assert await store.read(lambda tx: tx.metering.untold("ada")) == 3

    async def test_a_window_comes_back_as_written(self, store: Store) -> None:
        full = samples.usage_window(
            attempts=3,
            tried_at=NOW,
            leased_until=NOW + HOUR,
            sent_at=NOW,
            last_error="error",
            status=WindowStatus.SENT,
        )
        await store.write(lambda tx: tx.metering.add_window(full))

        def look(tx: Transaction) -> list[object]:
            return [
                tx.metering.window("ada/window"),
                tx.metering.window("ada/window", lock=True),
                *tx.metering.windows(),
            ]

        assert await store.write(look) == [full] * 3
        assert await store.read(lambda tx: tx.metering.window("other")) is None
        count = await store.read(lambda tx: tx.metering.windows_at("ada", "overage", full.start))
        assert count == 1

    async def test_two_windows_of_one_id_are_refused(self, store: Store) -> None:
        await store.write(lambda tx: tx.metering.add_window(samples.usage_window()))
        twin = samples.usage_window(identifier="another")
        with pytest.raises((ConflictError, TransactionConflictError)):
            await store.write(lambda tx: tx.metering.add_window(twin))

    async def test_windows_are_found_by_their_state_and_owner(self, store: Store) -> None:
        rows = [
            samples.usage_window("1"),
            samples.usage_window("2", status=WindowStatus.DEAD),
            samples.usage_window("3", "bob"),
            samples.usage_window("4", meter="other"),
        ]
        await _add(store, rows)

        def names(tx: Transaction) -> list[list[str]]:
            found = (
                tx.metering.windows(status=WindowStatus.DEAD),
                tx.metering.windows(customer="bob"),
                tx.metering.windows(meter="other"),
                tx.metering.windows(limit=2),
            )
            return [[one.id for one in some] for some in found]

        dead, bob, other, first = await store.read(names)
        assert (dead, bob, other, len(first)) == (["2"], ["3"], ["4"], 2)

    async def test_due_windows_are_leased_once(self, store: Store) -> None:
        rows = [
            samples.usage_window("1"),
            samples.usage_window("2", "bob", due_at=NOW + SECOND),
            samples.usage_window("3", "cyd", status=WindowStatus.DEAD),
        ]
        await _add(store, rows)
        leased = await _claim(store)
        assert leased == [replace(rows[0], attempts=1, tried_at=NOW, leased_until=NOW + HOUR)]
        assert await _claim(store) == []

        def again(tx: Transaction) -> list[UsageWindow]:
            return list(tx.metering.claim(NOW + HOUR, NOW + 2 * HOUR, 10))

        found = await store.write(again)
        assert [(one.id, one.attempts) for one in found] == [("1", 2), ("2", 1)]
        assert found[0].tried_at == NOW

    async def test_nothing_of_a_customer_and_meter_is_leased_beside_another(
        self, store: Store
    ) -> None:
        later = samples.usage_window("2", start=NOW, due_at=NOW + SECOND)
        other = samples.usage_window("3", meter="other", due_at=NOW + SECOND)
        await _add(store, [samples.usage_window("1"), later, other])
        assert [one.id for one in await _claim(store)] == ["1"]

        def claim(tx: Transaction) -> list[str]:
            return [one.id for one in tx.metering.claim(NOW + SECOND, NOW + HOUR, 10)]

        assert await store.write(claim) == ["3"]

    async def test_of_racing_senders_each_window_has_one(self, store: Store) -> None:
        await _add(store, [samples.usage_window(f"{n}", f"c{n}") for n in range(8)])
        found = await asyncio.gather(*(_claim(store, 2) for _ in range(8)))
        leased = [one.id for some in found for one in some]
        assert len(leased) == len(set(leased))

    async def test_what_became_of_a_window_is_written(self, store: Store) -> None:
        await _add(store, [samples.usage_window()])
        changed = samples.usage_window(
            status=WindowStatus.DEAD,
            due_at=NOW + DAY,
            attempts=2,
            tried_at=NOW,
            leased_until=NOW + HOUR,
            sent_at=NOW,
            last_error="why",
        )
        await store.write(lambda tx: tx.metering.save_window(changed))
        assert await store.read(lambda tx: tx.metering.window("ada/window")) == changed

    async def test_days_sum_what_is_sealed_and_what_is_not(self, store: Store) -> None:
        midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
        window = samples.usage_window

        def write(tx: Transaction) -> None:
            tx.metering.record(
                [
                    samples.usage("1", at=midnight + HOUR, quantity=1),
                    samples.usage("2", at=midnight + 2 * HOUR, quantity=99, window_id="w"),
                    samples.usage("3", at=midnight + DAY, quantity=4),
                    samples.usage("4", at=midnight + HOUR, quantity=8, meter="other"),
                    samples.usage("5", "bob", at=midnight, quantity=16),
                    samples.usage("6", at=midnight + DAY - SECOND, quantity=-3),
                ]
            )
            tx.metering.add_window(window("w1", start=midnight, quantity=32))
            sent = window("w2", start=midnight + HOUR, quantity=64, status=WindowStatus.SENT)
            tx.metering.add_window(sent)
            never = window("w3", start=midnight, quantity=7, status=WindowStatus.DISCARDED)
            tx.metering.add_window(never)

        await store.write(write)

        def days(limit: int, after: tuple[datetime, str] | None = None) -> Callable[..., object]:
            return lambda tx: tx.metering.days("ada", midnight, midnight + 2 * DAY, limit, after)

        whole = [
            MeterDay(midnight, "other", 8),
            MeterDay(midnight, "overage", 94),
            MeterDay(midnight + DAY, "overage", 4),
        ]
        assert await store.read(days(10)) == whole
        assert await store.read(days(1)) == whole[:1]
        assert await store.read(days(10, whole[0].place)) == whole[1:]
        late = (midnight + HOUR, midnight + DAY)
        assert await store.read(lambda tx: tx.metering.days("ada", *late, 10)) == [
            MeterDay(midnight, "other", 8),
            MeterDay(midnight, "overage", 62),
        ]

    async def test_what_was_told_is_summed_by_the_events_moments(self, store: Store) -> None:
        sent = WindowStatus.SENT
        rows = [
            samples.usage_window("1", at=NOW, quantity=1, status=sent),
            samples.usage_window("2", at=NOW + HOUR, quantity=2, status=sent),
            samples.usage_window("3", at=NOW, quantity=4, status=WindowStatus.DEAD),
            samples.usage_window("4", "bob", at=NOW, quantity=8, status=sent),
            samples.usage_window("5", at=NOW, quantity=-16, status=sent),
        ]
        await _add(store, rows)
        told = await store.read(lambda tx: tx.metering.told("ada", "overage", NOW, NOW + HOUR))
        assert told == -15
        assert await store.read(lambda tx: tx.metering.told("cyd", "overage", NOW, NOW)) == 0

    async def test_of_whom_something_was_told_is_listed_page_by_page(self, store: Store) -> None:
        sent = WindowStatus.SENT
        rows = [
            samples.usage_window("1", "cyd", at=NOW, status=sent),
            samples.usage_window("2", "cyd", at=NOW + SECOND, status=sent),
            samples.usage_window("3", "ada", at=NOW + HOUR - SECOND, status=sent),
            samples.usage_window("4", "bob", at=NOW, status=WindowStatus.PENDING),
            samples.usage_window("5", "dan", at=NOW + HOUR, status=sent),
            samples.usage_window("6", "eve", at=NOW - SECOND, status=sent),
        ]
        await _add(store, rows)

        def page(after: str, limit: int) -> Callable[[Transaction], list[str]]:
            return lambda tx: list(
                tx.metering.told_customers(NOW, NOW + HOUR, after=after, limit=limit)
            )

        assert await store.read(page("", 10)) == ["ada", "cyd"]
        assert await store.read(page("", 1)) == ["ada"]
        assert await store.read(page("ada", 10)) == ["cyd"]
        assert await store.read(page("cyd", 10)) == []

    async def test_an_erased_customers_usage_is_never_told(self, store: Store) -> None:
        def fill(tx: Transaction) -> None:
            tx.metering.record([samples.usage(), samples.usage("2", window_id="sent")])
            tx.metering.add_window(samples.usage_window("1"))
            tx.metering.add_window(
                samples.usage_window("2", status=WindowStatus.DEAD, last_error="of ada")
            )
            tx.metering.add_window(samples.usage_window("3", status=WindowStatus.SENT))

        await store.write(fill)
        assert await store.read(lambda tx: tx.metering.untold("ada")) == 2
        await store.write(lambda tx: tx.audit.erase("ada", "erased_1", NOW))

        def look(tx: Transaction) -> tuple[list[Usage | None], list[UsageWindow]]:
            rows = [tx.metering.recorded("erased_1", "overage", id_) for id_ in ("use_1", "2")]
            assert tx.metering.recorded("ada", "overage", "use_1") is None
            assert list(tx.metering.windows(customer="ada")) == []
            return rows, list(tx.metering.windows(customer="erased_1"))

        rows, windows = await store.read(look)
        assert [row and row.window_id for row in rows] == ["erased", "sent"]
        assert [(one.status, one.last_error) for one in windows] == [
            (WindowStatus.DISCARDED, None),
            (WindowStatus.DISCARDED, None),
            (WindowStatus.SENT, None),
        ]
        assert [one.identifier for one in windows] == [
            f"erased_1/overage/{one.id}" for one in windows
        ]
        assert await store.read(lambda tx: tx.metering.untold("erased_1")) == 0
        assert await store.read(lambda tx: tx.metering.unsealed(NOW + DAY, 10)) == []


async def _add(store: Store, rows: list[UsageWindow]) -> None:
    def add(tx: Transaction) -> None:
        for row in rows:
            tx.metering.add_window(row)

    await store.write(add)


async def _claim(store: Store, limit: int = 10) -> list[UsageWindow]:
    return list(await store.write(lambda tx: tx.metering.claim(NOW, NOW + HOUR, limit)))
