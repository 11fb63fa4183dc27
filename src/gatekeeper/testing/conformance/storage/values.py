"""Values that databases like to change: odd ids, huge amounts, microseconds, other time zones."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import partial

import pytest
from msgspec.structs import replace

from gatekeeper.ledger import (
    Account,
    Allocation,
    Allotment,
    Capture,
    Change,
    Grant,
    GrantCredits,
    GrantKind,
    Hold,
    LiveGrant,
    Received,
    Reserve,
    Target,
    apply,
    refresh,
    settle,
)
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.records import Customer
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import DAY, HOUR, NOW, ODD_IDS
from gatekeeper.types import MAX_AMOUNT, check_id


class ValueConformance:
    """What every store must give back unchanged. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_odd_ids_are_kept_and_told_apart(self, store: Store) -> None:
        for one in ODD_IDS:
            assert check_id(one, "customer") == one

        def insert(tx: Transaction) -> list[bool]:
            return [
                tx.customers.insert(samples.customer(one, stripe_id=one, email=one, name=one))
                for one in ODD_IDS
            ]

        assert await store.write(insert) == [True] * len(ODD_IDS)
        for one in ODD_IDS:
            expected = samples.customer(one, stripe_id=one, email=one, name=one)
            assert await _customer(store, one) == expected
            assert await _by_stripe_id(store, one) == expected

    async def test_odd_ids_work_everywhere_in_the_ledger(self, store: Store) -> None:
        for one in ODD_IDS:

            def work(tx: Transaction, one: str = one) -> Change:
                samples.fund(tx, 10, one, one, grant_id=one, source_key=one)
                return samples.hold(tx, one, 3, one, one)

            await store.write(work)
        for one in ODD_IDS:
            hold = await _hold(store, one)
            assert hold is not None
            assert (hold.id, hold.customer, hold.unit) == (one, one, one)
            assert hold.allocations == (Allocation(one, 3),)
            account = await _account(store, one, one)
            assert (account.posted, account.held) == (10, 3)
            grant = await _grant(store, one)
            assert grant is not None
            assert grant.id == one

    async def test_odd_ids_work_in_the_inbox_and_outbox(self, store: Store) -> None:
        def work(tx: Transaction) -> None:
            for number, one in enumerate(ODD_IDS):
                tx.inbox.insert(samples.event(one, one, age=99 - number, object_key=one))
                tx.inbox.complete(one, one, NOW)
                tx.inbox.use_ticket(one, tx.inbox.take_ticket(one), terminal=True)
                tx.outbox.add([samples.message(one, one, age=99 - number)])

        await store.write(work)
        events = await store.write(lambda tx: tx.inbox.claim(NOW, NOW + HOUR, 100))
        assert [one.key for one in events] == list(ODD_IDS)
        messages = await store.write(lambda tx: tx.outbox.claim(NOW, NOW + HOUR, 100))
        assert [one.id for one in messages] == list(ODD_IDS)
        for one in ODD_IDS:
            assert await _completed(store, one) == {one}

    async def test_the_largest_amounts_are_kept(self, store: Store) -> None:
        def grant_and_spend(tx: Transaction) -> Change:
            samples.fund(tx, MAX_AMOUNT)
            samples.hold(tx, "hold_1", MAX_AMOUNT)
            account = tx.ledger.account("ada", "credits", lock=True)
            hold = tx.ledger.find_hold("hold_1", customer="ada")
            assert hold is not None
            change = settle(account, hold, Capture(MAX_AMOUNT - 1), NOW)
            tx.ledger.save(account, change)
            return change

        change = await store.write(grant_and_spend)
        account = await store.read(lambda tx: tx.ledger.account("ada", "credits", lock=False))
        assert account == change.account
        assert account.posted == 1
        entries = await store.read(lambda tx: tx.ledger.entries("ada", "credits", 0, 99))
        assert [entry.posted_delta for entry in entries] == [
            MAX_AMOUNT,
            0,
            1 - MAX_AMOUNT,
            0,
        ]
        await store.write(
            lambda tx: tx.subscriptions.save_invoice(samples.invoice(amount_due_minor=MAX_AMOUNT))
        )
        found = await store.read(lambda tx: tx.subscriptions.oldest_unpaid("sub_1"))
        assert found == samples.invoice(amount_due_minor=MAX_AMOUNT)

    async def test_every_field_of_an_account_is_kept(self, store: Store) -> None:
        full = Account(
            customer="ada",
            unit="credits",
            posted=12,
            held=5,
            debt=0,
            version=0,
            grants=(
                LiveGrant("plain", 7, NOW),
                LiveGrant(
                    "full",
                    0,
                    NOW,
                    held=5,
                    priority=-3,
                    expires_at=NOW + DAY,
                    series="series",
                    window_key="window",
                    window_end=NOW + HOUR,
                    on_cancel="keep",
                    mints=True,
                    mint_left=MAX_AMOUNT,
                    meter="meter",
                ),
            ),
            received={"once": Received(None), "window": Received(MAX_AMOUNT, NOW + DAY)},
            last_entry_at=NOW,
        )

        def save(tx: Transaction) -> None:
            tx.ledger.save(tx.ledger.account("ada", "credits", lock=True), Change(full))

        await store.write(save)
        assert await store.read(lambda tx: tx.ledger.account("ada", "credits", lock=False)) == full

    async def test_what_a_refresh_did_is_done_once_across_transactions(self, store: Store) -> None:
        targets = Allotment(
            (
                Target(
                    "credits",
                    "credits:1",
                    1_000,
                    GrantKind.PLAN,
                    NOW,
                    NOW + 30 * DAY,
                    NOW + 31 * DAY,
                ),
                Target("tokens", "tokens", None, mints=True),
            )
        )

        def refreshed(tx: Transaction) -> Change:
            before = tx.ledger.account("ada", "credits", lock=True)
            change = refresh(before, targets, NOW)
            tx.ledger.save(before, change)
            return change

        first, second = [await store.write(refreshed) for _ in range(2)]
        assert len(first.grants) == 2
        assert (second.account, second.entries, second.grants) == (first.account, (), ())

    async def test_instants_keep_their_microseconds_and_are_in_utc(self, store: Store) -> None:
        instants = [
            NOW,
            NOW.replace(microsecond=1),
            NOW.replace(microsecond=999_999),
            NOW.replace(microsecond=0),
            datetime(1970, 1, 1, tzinfo=UTC),
            datetime(2999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
            datetime(2026, 3, 29, 1, 30, tzinfo=UTC),  # summer time begins in Europe
            datetime(2026, 10, 25, 0, 30, tzinfo=UTC),  # and ends
        ]

        def insert(tx: Transaction) -> None:
            for number, instant in enumerate(instants):
                one = samples.customer(str(number), deleted_at=instant)
                tx.customers.insert(replace(one, created_at=instant))

        await store.write(insert)
        for number, instant in enumerate(instants):
            stored = await _customer(store, str(number))
            assert stored is not None
            assert (stored.created_at, stored.deleted_at) == (instant, instant)
            assert stored.created_at.utcoffset() == timedelta(0)

    async def test_an_instant_of_another_zone_is_the_same_instant(self, store: Store) -> None:
        """Ordering and comparing must not depend on how an instant is written."""
        zone = timezone(timedelta(hours=5, minutes=30))
        there = (NOW + HOUR).astimezone(zone)
        await store.write(lambda tx: samples.fund(tx, 10))

        def reserve(tx: Transaction) -> None:
            account = tx.ledger.account("ada", "credits", lock=True)
            command = Reserve("hold_1", 1, there)
            tx.ledger.save(account, apply(account, command, NOW))

        await store.write(reserve)
        early, late = [
            await _expired(store, at) for at in (there - timedelta(microseconds=1), there)
        ]
        assert list(early) == []
        assert [(hold.id, hold.expires_at) for hold in late] == [("hold_1", NOW + HOUR)]

    async def test_commands_on_one_account_never_mix_with_anothers(self, store: Store) -> None:
        """`a` and `A`, and an umlaut in its two spellings, are different customers."""
        twins = [("a", "A"), ("ü", "u\N{COMBINING DIAERESIS}")]
        for left, right in twins:
            await store.write(partial(samples.fund, amount=10, customer_id=left))
            other = await _account(store, right)
            assert other.posted == 0

            def grant(tx: Transaction, one: str = right) -> None:
                account = tx.ledger.account(one, "credits", lock=True)
                command = GrantCredits("grant_1", 5, GrantKind.MANUAL, reason="ü" * 300)
                tx.ledger.save(account, apply(account, command, NOW))

            await store.write(grant)
            first = await _account(store, left)
            assert first.posted == 10


async def _customer(store: Store, customer_id: str) -> Customer | None:
    return await store.read(lambda tx: tx.customers.get(customer_id))


async def _by_stripe_id(store: Store, stripe_id: str) -> Customer | None:
    return await store.read(lambda tx: tx.customers.by_stripe_id(stripe_id))


async def _account(store: Store, customer_id: str, unit: str = "credits") -> Account:
    return await store.read(lambda tx: tx.ledger.account(customer_id, unit, lock=False))


async def _hold(store: Store, hold_id: str) -> Hold | None:
    return await store.read(lambda tx: tx.ledger.find_hold(hold_id))


async def _expired(store: Store, at: datetime) -> Sequence[Hold]:
    return await store.read(lambda tx: tx.ledger.expired_holds(at, 9))


async def _grant(store: Store, source_key: str) -> Grant | None:
    return await store.read(lambda tx: tx.ledger.grant_by_source(source_key))


async def _completed(store: Store, key: str) -> frozenset[str]:
    return await store.read(lambda tx: tx.inbox.completed(key))
