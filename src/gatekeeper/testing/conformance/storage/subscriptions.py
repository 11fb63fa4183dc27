"""Subscriptions, items, paid lines, invoices, prices."""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from gatekeeper.entitlements.state import Item
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import PriceRecord
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import DAY, HOUR, NOW


class SubscriptionConformance:
    """What every store must do with projections. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_a_subscription_and_its_items_come_back_as_saved(self, store: Store) -> None:
        full = samples.subscription(
            status="a status of the future",
            trial_end=NOW + DAY,
            cancel_at=NOW + 2 * DAY,
            ended_at=NOW + 3 * DAY,
            collection_paused=True,
            latest_invoice_id="in_1",
        )
        items = [samples.item("si_1", of=full), samples.item("si_2", of=full, terms=None)]
        await store.write(lambda tx: tx.subscriptions.save(full, items))
        assert await store.read(lambda tx: tx.subscriptions.get("sub_1")) == full
        assert await _items(store) == {one.id: one for one in items}

    async def test_an_unknown_subscription_is_none_and_has_no_items(self, store: Store) -> None:
        assert await store.read(lambda tx: tx.subscriptions.get("sub_1")) is None
        assert list(await store.read(lambda tx: tx.subscriptions.items("sub_1"))) == []

    async def test_saving_again_replaces(self, store: Store) -> None:
        await store.write(
            lambda tx: tx.subscriptions.save(samples.subscription(), [samples.item()])
        )
        later = samples.subscription(status="past_due", updated_at=NOW + HOUR)
        changed = samples.item(of=later, quantity=10, price_id="price_2", period_end=NOW + DAY)
        await store.write(lambda tx: tx.subscriptions.save(later, [changed]))
        assert await store.read(lambda tx: tx.subscriptions.get("sub_1")) == later
        assert await _items(store) == {"si_1": changed}

    async def test_an_item_that_is_gone_is_marked_ended_and_keeps_its_history(
        self, store: Store
    ) -> None:
        def first(tx: Transaction) -> None:
            items = [samples.item(), samples.item("si_2")]
            tx.subscriptions.save(samples.subscription(), items)
            tx.subscriptions.add_paid_lines("ada", [samples.paid_line()])

        await store.write(first)
        later = samples.subscription(updated_at=NOW + HOUR)
        second = samples.item("si_2", of=later)
        await store.write(lambda tx: tx.subscriptions.save(later, [second]))
        items = await _items(store)
        assert items["si_2"] == second
        assert items["si_1"].ended_at == NOW + HOUR
        assert items["si_1"].paid_lines == (samples.paid_line(),)
        assert items["si_1"].terms == samples.TERMS

        last = samples.subscription(updated_at=NOW + DAY)
        await store.write(lambda tx: tx.subscriptions.save(last, [samples.item("si_2", of=last)]))
        assert (await _items(store))["si_1"].ended_at == NOW + HOUR  # it ended once

    async def test_an_item_that_comes_back_has_not_ended(self, store: Store) -> None:
        subscription = samples.subscription()
        await store.write(lambda tx: tx.subscriptions.save(subscription, [samples.item()]))
        await store.write(lambda tx: tx.subscriptions.save(subscription, []))
        assert (await _items(store))["si_1"].ended_at is not None
        await store.write(lambda tx: tx.subscriptions.save(subscription, [samples.item()]))
        assert await _items(store) == {"si_1": samples.item()}

    async def test_unpaid_since_shows_on_the_items_and_outlives_a_save(self, store: Store) -> None:
        subscription, item = samples.subscription(), samples.item()
        await store.write(lambda tx: tx.subscriptions.save(subscription, [item]))
        await store.write(lambda tx: tx.subscriptions.set_unpaid_since("sub_1", NOW))
        assert (await _items(store))["si_1"].unpaid_since == NOW
        await store.write(lambda tx: tx.subscriptions.save(subscription, [item]))
        assert (await _items(store))["si_1"].unpaid_since == NOW
        await store.write(lambda tx: tx.subscriptions.set_unpaid_since("sub_1", None))
        assert await _items(store) == {"si_1": item}

    async def test_a_duplicate_shows_on_the_items_and_outlives_a_save(self, store: Store) -> None:
        subscription, item = samples.subscription(), samples.item()
        await store.write(lambda tx: tx.subscriptions.save(subscription, [item]))
        await store.write(lambda tx: tx.subscriptions.set_duplicate_of("sub_1", "sub_0"))
        await store.write(lambda tx: tx.subscriptions.set_duplicate_of("sub_9", "sub_0"))
        await store.write(lambda tx: tx.subscriptions.save(subscription, [item]))
        assert await _items(store) == {"si_1": replace(item, duplicate_of="sub_0")}

    async def test_paid_lines_are_added_once(self, store: Store) -> None:
        await store.write(
            lambda tx: tx.subscriptions.save(samples.subscription(), [samples.item()])
        )
        first, second = samples.paid_line(), samples.paid_line("il_2", start=NOW + 30 * DAY)
        changed = replace(first, quantity=99, end=NOW + 365 * DAY)
        assert await store.write(lambda tx: tx.subscriptions.add_paid_lines("ada", [first])) == 1
        added = await store.write(
            lambda tx: tx.subscriptions.add_paid_lines("ada", [changed, second])
        )
        assert added == 1
        assert (await _items(store))["si_1"].paid_lines == (first, second)

    async def test_adding_no_paid_lines_is_nothing(self, store: Store) -> None:
        assert await store.write(lambda tx: tx.subscriptions.add_paid_lines("ada", [])) == 0

    async def test_what_went_back_of_an_invoice_is_noted_on_its_lines(self, store: Store) -> None:
        lines = [samples.paid_line(), samples.paid_line("il_2", invoice_id="in_2")]

        def save(tx: Transaction) -> None:
            tx.subscriptions.save(samples.subscription(), [samples.item()])
            tx.subscriptions.add_paid_lines("ada", lines)
            tx.subscriptions.add_paid_lines("bob", [samples.paid_line("il_3")])

        def note(tx: Transaction) -> bool:
            return tx.subscriptions.note_returned(
                "ada", lines[0].invoice_id, paid_minor=999, returned_minor=400
            )

        await store.write(save)
        assert await store.write(note)
        assert not await store.write(note)
        (item,) = await store.read(lambda tx: tx.subscriptions.items("sub_1"))
        assert [(one.id, one.paid_minor, one.returned_minor) for one in item.paid_lines] == [
            ("il_1", 999, 400),
            ("il_2", 0, 0),
        ]

    async def test_racing_duplicates_of_a_paid_line_add_it_once(self, store: Store) -> None:
        await store.write(
            lambda tx: tx.subscriptions.save(samples.subscription(), [samples.item()])
        )
        lines = [samples.paid_line(), samples.paid_line("il_2", start=NOW + DAY)]
        added = await asyncio.gather(
            *(
                store.write(lambda tx: tx.subscriptions.add_paid_lines("ada", lines))
                for _ in range(8)
            )
        )
        assert sum(added) == 2
        assert len((await _items(store))["si_1"].paid_lines) == 2

    async def test_paid_lines_may_come_before_their_item(self, store: Store) -> None:
        full = samples.paid_line(proration=True, amount_minor=-5, currency="jpy")
        await store.write(lambda tx: tx.subscriptions.add_paid_lines("ada", [full]))
        await store.write(
            lambda tx: tx.subscriptions.save(samples.subscription(), [samples.item()])
        )
        assert (await _items(store))["si_1"].paid_lines == (full,)

    async def test_saving_a_subscription_leaves_its_paid_lines_alone(self, store: Store) -> None:
        subscription, line = samples.subscription(), samples.paid_line()
        await store.write(lambda tx: tx.subscriptions.save(subscription, [samples.item()]))
        await store.write(lambda tx: tx.subscriptions.add_paid_lines("ada", [line]))
        forged = samples.item(paid_lines=(samples.paid_line("il_forged"),))
        await store.write(lambda tx: tx.subscriptions.save(subscription, [forged]))
        assert (await _items(store))["si_1"].paid_lines == (line,)

    async def test_the_oldest_unpaid_invoice_is_the_first_finalised_one_with_something_due(
        self, store: Store
    ) -> None:
        invoices = [
            samples.invoice("in_paid", status="paid", finalized_at=NOW - 9 * DAY),
            samples.invoice("in_void", status="void", finalized_at=NOW - 8 * DAY),
            samples.invoice("in_zero", amount_due_minor=0, finalized_at=NOW - 7 * DAY),
            samples.invoice("in_other", subscription_id="sub_2", finalized_at=NOW - 6 * DAY),
            samples.invoice("in_none", subscription_id=None, finalized_at=NOW - 5 * DAY),
            samples.invoice("in_late", finalized_at=NOW),
            samples.invoice("in_early", finalized_at=NOW - DAY, created_at=NOW + DAY),
        ]

        def save(tx: Transaction) -> None:
            for one in invoices:
                tx.subscriptions.save_invoice(one)

        await store.write(save)
        oldest = await store.read(lambda tx: tx.subscriptions.oldest_unpaid("sub_1"))
        assert oldest == invoices[-1]

        paid = replace(
            invoices[-1], status="paid", amount_paid_minor=999, paid_at=NOW + HOUR, due_at=NOW
        )
        await store.write(lambda tx: tx.subscriptions.save_invoice(paid))
        oldest = await store.read(lambda tx: tx.subscriptions.oldest_unpaid("sub_1"))
        assert oldest == invoices[-2]
        assert await store.read(lambda tx: tx.subscriptions.invoice(paid.id)) == paid
        assert await store.read(lambda tx: tx.subscriptions.invoice("in_unknown")) is None

    async def test_without_an_open_invoice_nothing_is_unpaid(self, store: Store) -> None:
        assert await store.read(lambda tx: tx.subscriptions.oldest_unpaid("sub_1")) is None

    async def test_a_price_stays_as_first_seen(self, store: Store) -> None:
        first = PriceRecord(
            price_id="price_1", lookup_key="pro_monthly", plan="pro", first_seen_at=NOW
        )
        later = PriceRecord(
            price_id="price_1", lookup_key="x", pack="credits_100", first_seen_at=NOW + DAY
        )
        assert await store.read(lambda tx: tx.subscriptions.price("price_1")) is None
        assert await store.write(lambda tx: tx.subscriptions.record_price(first)) == first
        assert await store.write(lambda tx: tx.subscriptions.record_price(later)) == first
        assert await store.read(lambda tx: tx.subscriptions.price("price_1")) == first

    async def test_racing_first_sights_of_a_price_agree(self, store: Store) -> None:
        racers = [
            PriceRecord(price_id="price_1", lookup_key=f"key_{number}", first_seen_at=NOW)
            for number in range(8)
        ]
        answers = await asyncio.gather(*(_record(store, one) for one in racers))
        stored = await store.read(lambda tx: tx.subscriptions.price("price_1"))
        assert stored in racers
        assert all(answer == stored for answer in answers)


async def _items(store: Store, subscription_id: str = "sub_1") -> dict[str, Item]:
    found: Sequence[Item] = await store.read(lambda tx: tx.subscriptions.items(subscription_id))
    return {one.id: one for one in found}


async def _record(store: Store, price: PriceRecord) -> PriceRecord:
    return await store.write(lambda tx: tx.subscriptions.record_price(price))
