"""Many accounts at once: locked together, and written together or not at all."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from msgspec.structs import replace

from gatekeeper.errors import ConflictError, TransactionConflictError
from gatekeeper.ledger import (
    Account,
    Cap,
    Capture,
    Entry,
    Fresh,
    GrantCredits,
    GrantKind,
    Receipt,
    Release,
    Reserve,
    apply,
    settle,
)
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.postings import AccountKey, Posting
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import DAY, HOUR, NOW

ADA, BOB, EVE = ("ada", "credits"), ("bob", "credits"), ("eve", "credits")
CAP = Cap("day", 500, NOW, NOW + DAY, 7, "design", "host", reached=False)


class PostingConformance:
    """What every store must do with postings. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    @pytest.mark.parametrize("wait", [True, False])
    async def test_accounts_are_locked_together_and_made_where_they_are_not_there(
        self, store: Store, wait: bool
    ) -> None:
        await store.write(partial(samples.fund, amount=100, customer_id="bob"))
        keys = {EVE, BOB, ADA, ("ada", "masters")}
        locked = await store.write(lambda tx: tx.ledger.lock(keys, wait=wait))
        assert locked.keys() == keys
        assert [locked[key].posted for key in (ADA, BOB, EVE)] == [0, 100, 0]
        assert locked["ada", "masters"] == Account("ada", "masters")
        again = await store.write(lambda tx: tx.ledger.lock(keys, wait=wait))
        assert again == locked
        assert await store.write(lambda tx: tx.ledger.lock([], wait=wait)) == {}

    async def test_racing_locks_of_many_accounts_lose_no_change(self, store: Store) -> None:
        """Whoever locks several does so in the order of their keys: nobody waits for a ring."""
        keys = [(f"customer {n}", "credits") for n in range(5)]

        def add(tx: Transaction, number: int) -> None:
            accounts = tx.ledger.lock(keys if number % 2 else keys[::-1], wait=True)
            tx.ledger.post([_grant(accounts[key], f"grant_{number}") for key in keys])

        await asyncio.gather(*(store.write(partial(add, number=n)) for n in range(12)))
        for key in keys:
            assert (await _account(store, key)).posted == 12

    async def test_whoever_does_not_wait_gets_what_is_free_and_changes_that_alone(
        self, store: Store
    ) -> None:
        keys = [(f"customer {n}", "credits") for n in range(4)]

        def add(tx: Transaction, number: int) -> int:
            accounts = tx.ledger.lock(keys, wait=False)
            tx.ledger.post([_grant(account, f"g{number}") for account in accounts.values()])
            return len(accounts)

        changed = await asyncio.gather(*(store.write(partial(add, number=n)) for n in range(12)))
        posted = [(await _account(store, key)).posted for key in keys]
        assert sum(posted) == sum(changed) >= 4

    async def test_a_posting_is_stored_whole(self, store: Store) -> None:
        """All that a batch does to an account, and all that stands in its row."""
        await store.write(partial(samples.fund, amount=100))
        await store.write(partial(samples.hold, hold_id="before"))
        receipt = Receipt("ada", "key", "f" * 64, "done", NOW)

        def work(tx: Transaction) -> Posting:
            posting = Posting(account := tx.ledger.lock([ADA], wait=True)[ADA], account)
            ended = tx.ledger.find_hold("before", customer="ada")
            assert ended is not None
            posting.add(settle(posting.after, ended, Capture(4), NOW))
            posting.add(apply(posting.after, Reserve("made", 5, NOW + HOUR), NOW))
            posting.add(apply(posting.after, Reserve("ended", 6, NOW + HOUR), NOW))
            posting.add(settle(posting.after, posting.made["ended"], Release(), NOW))
            posting.add(apply(posting.after, GrantCredits("g2", 9, GrantKind.MANUAL), NOW))
            posting.caps[CAP.scope, CAP.every] = CAP
            posting.receipts.append(receipt)
            posting.after = replace(
                posting.after,
                revision=posting.after.revision + 1,
                caps=(replace(CAP, scope="", source="plan", reached=True),),
                alerts=("low",),
                fresh=Fresh(3, "rules", NOW + DAY),
                holds_due_at=NOW + HOUR,
                notice_due_at=NOW + DAY,
            )
            tx.ledger.post([posting])
            return posting

        posting = await store.write(work)
        assert posting.made["ended"].ended_at == NOW

        def check(tx: Transaction) -> None:
            assert tx.ledger.account(*ADA, lock=False) == posting.after
            assert list(tx.ledger.entries(*ADA, 2, 100)) == posting.entries
            assert tx.ledger.find_hold("before", customer="ada") == posting.changed["before"]
            for name in ("made", "ended"):
                assert tx.ledger.find_hold(name, customer="ada") == posting.made[name]
            assert list(tx.ledger.open_holds(*ADA)) == [posting.made["made"]]
            assert list(tx.ledger.caps(*ADA)) == [CAP]
            assert tx.ledger.receipt("ada", "key") == receipt

        await store.read(check)

    async def test_what_has_no_entry_is_stored_too(self, store: Store) -> None:
        """How fresh an account is: its revision moves on, its version does not."""
        before = await store.write(lambda tx: tx.ledger.account(*ADA, lock=True))
        after = replace(before, revision=1, fresh=Fresh(0, "rules"))
        await store.write(lambda tx: tx.ledger.post([Posting(before, after)]))
        assert await _account(store, ADA) == after
        with pytest.raises(TransactionConflictError):  # it is not as it was any more
            await store.write(lambda tx: tx.ledger.post([Posting(before, after)]))

    async def test_postings_of_several_accounts_are_written_together(self, store: Store) -> None:
        postings = await store.write(partial(_post_all, make=_grant_and_hold))
        for key, posting in postings.items():
            assert await _account(store, key) == posting.after
            entries = await store.read(partial(_entries, key=key))
            assert entries == posting.entries

    async def test_one_account_that_has_moved_on_keeps_all_from_being_written(
        self, store: Store
    ) -> None:
        await store.write(partial(samples.fund, amount=10, customer_id="bob"))

        def stale(account: Account) -> Posting:
            if account.customer == "bob":
                account = replace(account, revision=account.revision - 1)
            return _grant_and_hold(account)

        with pytest.raises(TransactionConflictError):
            await store.write(partial(_post_all, make=stale))
        assert [(await _account(store, key)).posted for key in (ADA, BOB, EVE)] == [0, 10, 0]
        assert await store.read(lambda tx: tx.ledger.find_hold("h", customer="ada")) is None

    async def test_one_hold_id_that_was_used_keeps_all_from_being_written(
        self, store: Store
    ) -> None:
        await store.write(partial(samples.fund, amount=10, customer_id="bob", unit="masters"))
        await store.write(
            partial(samples.hold, hold_id="h", amount=1, customer_id="bob", unit="masters")
        )
        with pytest.raises(ConflictError):
            await store.write(partial(_post_all, make=_grant_and_hold))
        assert [(await _account(store, key)).posted for key in (ADA, BOB, EVE)] == [0, 0, 0]

    async def test_one_hold_that_has_ended_keeps_all_from_being_written(self, store: Store) -> None:
        await store.write(partial(samples.fund, amount=10, customer_id="bob"))
        opened = (await store.write(partial(samples.hold, customer_id="bob"))).hold
        assert opened is not None

        def end(account: Account) -> Posting:
            posting = Posting(account, account)
            posting.add(settle(account, opened, Release(), NOW))
            return posting

        await store.write(lambda tx: tx.ledger.post([end(tx.ledger.lock([BOB], wait=True)[BOB])]))
        before = await _account(store, BOB)

        def end_again(account: Account) -> Posting:
            posting = _grant(account, "g")
            if account.customer == "bob":
                posting.changed[opened.id] = opened
            return posting

        with pytest.raises(TransactionConflictError):
            await store.write(partial(_post_all, make=end_again))
        assert await _account(store, BOB) == before
        assert (await _account(store, ADA)).posted == 0

    async def test_caps_come_back_as_put_by_scope_and_length(self, store: Store) -> None:
        caps = [
            replace(CAP, scope=scope, every=every, limit=limit, used=used, reached=reached)
            for scope, every, limit, used, reached in (
                ("design", "day", 500, 0, False),
                ("design", "hour", None, 2**40, False),
                ("design/ann", "day", 0, 1, True),
                ("designers", "month", 7, 7, True),
                ("Ü'\"%_", "week", 1, 0, False),
            )
        ]

        def put(tx: Transaction, own: list[Cap], key: AccountKey = ADA) -> None:
            before = tx.ledger.lock([key], wait=True)[key]
            posting = Posting(before, replace(before, revision=before.revision + 1))
            posting.caps = {(cap.scope, cap.every): cap for cap in own}
            tx.ledger.post([posting])

        async def found(scopes: list[str] | None = None, key: AccountKey = ADA) -> list[Cap]:
            return list(await store.read(lambda tx: tx.ledger.caps(*key, scopes)))

        await store.write(partial(put, own=caps))
        await store.write(partial(put, own=[CAP], key=BOB))
        await store.write(partial(put, own=[CAP], key=("ada", "masters")))
        assert sorted(await found(), key=_cap_key) == sorted(caps, key=_cap_key)
        assert await found(["design", "design/ann", "nothing"]) == caps[:3]
        assert await found([]) == []
        assert await found(key=EVE) == []
        later = replace(caps[0], used=9, reached=True, window_start=NOW + DAY)
        await store.write(partial(put, own=[later]))
        assert await found(["design"]) == [later, caps[1]]

    async def test_notices_are_due_in_their_order(self, store: Store) -> None:
        def note(tx: Transaction, key: AccountKey, days: int | None) -> None:
            before = tx.ledger.lock([key], wait=True)[key]
            due = None if days is None else NOW + timedelta(days=days)
            after = replace(before, revision=before.revision + 1, notice_due_at=due)
            tx.ledger.post([Posting(before, after)])

        for key, days in ((ADA, 2), (BOB, 1), (EVE, 3), (("ada", "masters"), None)):
            await store.write(partial(note, key=key, days=days))

        async def due(days: int, limit: int = 9) -> list[AccountKey]:
            at = NOW + timedelta(days=days)
            return list(await store.read(lambda tx: tx.ledger.notices_due(at, limit)))

        assert await due(0) == []
        assert await due(2) == [BOB, ADA]
        assert await due(3, limit=2) == [BOB, ADA]
        await store.write(partial(note, key=BOB, days=None))
        assert await due(9) == [ADA, EVE]


def _grant(account: Account, grant_id: str, amount: int = 1) -> Posting:
    posting = Posting(account, account)
    posting.add(apply(account, GrantCredits(grant_id, amount, GrantKind.MANUAL), NOW))
    return posting


def _grant_and_hold(account: Account) -> Posting:
    posting = _grant(account, "g", 10)
    posting.add(apply(posting.after, Reserve("h", 4, NOW + HOUR), NOW))
    return posting


def _post_all(tx: Transaction, make: Callable[[Account], Posting]) -> dict[AccountKey, Posting]:
    accounts = tx.ledger.lock([EVE, ADA, BOB], wait=True)
    postings = {key: make(account) for key, account in accounts.items()}
    tx.ledger.post(list(postings.values()))
    return postings


def _entries(tx: Transaction, key: AccountKey) -> list[Entry]:
    return list(tx.ledger.entries(*key, 0, 1_000))


def _cap_key(cap: Cap) -> tuple[str, str]:
    return cap.scope, cap.every


async def _account(store: Store, key: AccountKey) -> Account:
    return await store.read(lambda tx: tx.ledger.account(*key, lock=False))
