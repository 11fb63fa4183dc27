"""Accounts and holds: nothing lost, nothing twice, nothing below zero."""

import asyncio
from functools import partial

import pytest
from msgspec.structs import replace

from gatekeeper.errors import (
    ConflictError,
    CreditsRequiredError,
    GatekeeperError,
    HoldEndedError,
    LedgerInvariantError,
    TransactionConflictError,
)
from gatekeeper.ledger import (
    Account,
    Capture,
    Change,
    Clawback,
    Expire,
    GrantCredits,
    GrantKind,
    HoldCommand,
    HoldStatus,
    Release,
    Reserve,
    Revoke,
    apply,
    settle,
)
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import HOUR, NOW


class LedgerConformance:
    """What every store must do with accounts. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    @pytest.mark.parametrize("lock", [False, True])
    async def test_an_account_never_used_is_empty(self, store: Store, lock: bool) -> None:
        empty = await store.write(lambda tx: tx.ledger.account("ada", "credits", lock=lock))
        assert empty == Account("ada", "credits")
        again = await store.read(lambda tx: tx.ledger.account("ada", "credits", lock=False))
        assert again == empty

    async def test_a_change_is_stored_whole(self, store: Store) -> None:
        granted = await store.write(lambda tx: samples.fund(tx, 100, source_key="in_1"))
        held = await store.write(samples.hold)

        def found(tx: Transaction) -> list[object]:
            return [
                tx.ledger.account("ada", "credits", lock=False),
                tuple(tx.ledger.entries("ada", "credits", 0, 100)),
                tx.ledger.find_hold("hold_1"),
                tx.ledger.find_hold("hold_1", customer="ada"),
                list(tx.ledger.open_holds("ada", "credits")),
                tx.ledger.grant_by_source("in_1"),
            ]

        assert await store.read(found) == [
            held.account,
            granted.entries + held.entries,
            held.hold,
            held.hold,
            [held.hold],
            granted.grants[0],
        ]

    async def test_accounts_are_apart_and_come_by_unit(self, store: Store) -> None:
        for customer, unit, amount in [
            ("ada", "masters", 1),
            ("ada", "credits", 2),
            ("bob", "credits", 3),
        ]:
            await store.write(partial(samples.fund, amount=amount, customer_id=customer, unit=unit))
        own = await store.read(lambda tx: tx.ledger.accounts("ada"))
        assert [(one.customer, one.unit, one.posted) for one in own] == [
            ("ada", "credits", 2),
            ("ada", "masters", 1),
        ]
        assert list(await store.read(lambda tx: tx.ledger.accounts("nobody"))) == []

    async def test_revisions_of_many_customers_come_at_once(self, store: Store) -> None:
        def revisions(tx: Transaction) -> dict[str, tuple[tuple[str, int], ...]]:
            return tx.ledger.revisions(["ada", "bob", "zoe"])

        assert await store.read(revisions) == {}
        for customer, unit in (("ada", "masters"), ("ada", "credits"), ("bob", "credits")):
            await store.write(partial(samples.fund, amount=5, customer_id=customer, unit=unit))
        found = await store.read(revisions)
        assert set(found) == {"ada", "bob"}
        assert [unit for unit, _ in found["ada"]] == ["credits", "masters"]
        await store.write(partial(samples.fund, amount=5, customer_id="bob", grant_id="grant_2"))
        after = await store.read(revisions)
        assert after["ada"] == found["ada"]
        assert after["bob"] > found["bob"]
        assert await store.read(lambda tx: tx.ledger.revisions([])) == {}

    async def test_a_stale_account_is_refused(self, store: Store) -> None:
        await store.write(lambda tx: samples.fund(tx, 100))
        stale = await store.read(lambda tx: tx.ledger.account("ada", "credits", lock=False))
        await store.write(lambda tx: samples.hold(tx, "hold_1", 60))
        late = apply(stale, Reserve("hold_2", 60, NOW + HOUR), NOW)
        with pytest.raises(TransactionConflictError):
            await store.write(lambda tx: tx.ledger.save(stale, late))
        assert await store.read(lambda tx: tx.ledger.find_hold("hold_2")) is None
        account = await _account(store)
        assert (account.held, account.version) == (60, 2)

    async def test_of_two_first_changes_of_an_account_one_is_refused(self, store: Store) -> None:
        empty = await store.write(lambda tx: tx.ledger.account("ada", "credits", lock=True))
        changes = [
            apply(empty, GrantCredits(name, 5, GrantKind.MANUAL), NOW)
            for name in ("grant_1", "grant_2")
        ]
        await store.write(lambda tx: tx.ledger.save(empty, changes[0]))
        with pytest.raises((ConflictError, TransactionConflictError)):
            await store.write(lambda tx: tx.ledger.save(empty, changes[1]))
        assert await _account(store) == changes[0].account

    async def test_racing_first_commands_are_all_carried_out(self, store: Store) -> None:
        await asyncio.gather(
            *(
                store.write(partial(samples.fund, amount=1, grant_id=f"grant_{n}"))
                for n in range(12)
            )
        )
        account = await _account(store)
        assert (account.posted, account.version, len(account.grants)) == (12, 12, 12)

    async def test_case_52_twenty_claims_of_75_against_500_leave_exactly_six(
        self, store: Store
    ) -> None:
        await store.write(lambda tx: samples.fund(tx, 500))
        outcomes = await asyncio.gather(
            *(
                store.write(partial(samples.hold, hold_id=f"hold_{n}", amount=75))
                for n in range(20)
            ),
            return_exceptions=True,
        )
        won = [one for one in outcomes if isinstance(one, Change)]
        assert len(won) == 6
        assert sum(isinstance(one, CreditsRequiredError) for one in outcomes) == 14
        account = await _account(store)
        assert (account.posted, account.held) == (500, 450)
        assert len(await store.read(lambda tx: tx.ledger.open_holds("ada", "credits"))) == 6
        await _check_sums(store)

    async def test_a_waiting_writer_sees_the_new_account_with_its_new_grants(
        self, store: Store
    ) -> None:
        """The trap of DESIGN section 7: a lock and a joined read in one statement."""

        def round_trip(tx: Transaction, number: int) -> None:
            samples.fund(tx, 10, grant_id=f"grant_{number}")
            account = tx.ledger.account("ada", "credits", lock=True)
            assert sum(grant.remaining + grant.held for grant in account.grants) == account.posted
            samples.hold(tx, f"hold_{number}", 10)

        await asyncio.gather(*(store.write(partial(round_trip, number=n)) for n in range(16)))
        account = await _account(store)
        assert (account.posted, account.held) == (160, 160)
        await _check_sums(store)

    async def test_case_53_racing_ends_of_a_hold_end_it_once(self, store: Store) -> None:
        await store.write(lambda tx: samples.fund(tx, 100))
        await store.write(samples.hold)
        commands: list[HoldCommand] = [Capture(), Release(), Expire(), Capture(4)] * 3

        def end(tx: Transaction, command: HoldCommand) -> bool:
            account = tx.ledger.account("ada", "credits", lock=True)
            hold = tx.ledger.find_hold("hold_1", customer="ada")
            assert hold is not None
            at = NOW + HOUR if isinstance(command, Expire) else NOW
            try:
                change = settle(account, hold, command, at)
            except HoldEndedError:
                return False
            tx.ledger.save(account, change)
            return change.hold is not None and change.hold.status is not HoldStatus.OPEN

        ended = await asyncio.gather(*(store.write(partial(end, command=one)) for one in commands))
        assert ended.count(True) == 1
        assert (await _account(store)).held == 0
        await _check_sums(store)

    async def test_a_balance_below_zero_can_not_be_stored(self, store: Store) -> None:
        """The database's own CHECK: it holds even if the engine were wrong."""
        await store.write(lambda tx: samples.fund(tx, 100))
        before = await _account(store)
        for wrong in (
            {"posted": 10, "held": 11},
            {"posted": -1},
            {"held": -1},
        ):
            forged = Change(account=replace(before, version=2, **wrong))
            with pytest.raises(LedgerInvariantError):
                await store.write(partial(_save, before=before, change=forged))
        assert await _account(store) == before

    async def test_one_business_key_grants_once_whoever_asks(self, store: Store) -> None:
        first = await store.write(lambda tx: samples.fund(tx, 100, source_key="in_1"))
        for customer, grant in (("ada", "grant_2"), ("bob", "grant_1")):
            with pytest.raises((ConflictError, TransactionConflictError)):
                await store.write(
                    partial(
                        samples.fund,
                        amount=100,
                        customer_id=customer,
                        grant_id=grant,
                        source_key="in_1",
                    )
                )
        assert await store.read(lambda tx: tx.ledger.grant_by_source("in_1")) == first.grants[0]
        assert await _account(store) == first.account
        assert (await _account(store, "bob")).posted == 0

    async def test_racing_grants_of_one_business_key_grant_once(self, store: Store) -> None:
        outcomes = await asyncio.gather(
            *(
                store.write(
                    partial(
                        samples.fund,
                        amount=100,
                        customer_id=f"customer {n}",
                        grant_id=f"grant_{n}",
                        source_key="in_1",
                    )
                )
                for n in range(8)
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(one, Change) for one in outcomes) == 1
        assert sum(isinstance(one, GatekeeperError) for one in outcomes) == 7

    async def test_a_grant_id_is_used_once_in_an_account(self, store: Store) -> None:
        await store.write(lambda tx: samples.fund(tx, 100))

        def spend_and_repeat(tx: Transaction) -> None:
            account = tx.ledger.account("ada", "credits", lock=True)
            tx.ledger.save(account, apply(account, Clawback(100), NOW))
            samples.fund(tx, 100)

        with pytest.raises((ConflictError, TransactionConflictError)):
            await store.write(spend_and_repeat)
        assert (await _account(store)).posted == 100

    async def test_grants_are_found_by_their_kind_and_what_has_lapsed_of_them(
        self, store: Store
    ) -> None:
        def give(tx: Transaction) -> None:
            samples.fund(tx, 100)
            samples.fund(tx, 40, grant_id="grant_2")
            samples.fund(tx, 7, unit="exports", grant_id="grant_3")
            account = tx.ledger.account("ada", "credits", lock=True)
            tx.ledger.save(account, apply(account, Clawback(30, "grant_1"), NOW))
            account = tx.ledger.account("ada", "credits", lock=True)
            tx.ledger.save(account, apply(account, Revoke("grant_1"), NOW))

        await store.write(give)

        def found(tx: Transaction) -> list[object]:
            kinds = (GrantKind.TOP_UP, GrantKind.PLAN)
            return [
                [one.id for one in tx.ledger.grants("ada", "credits", kinds)],
                list(tx.ledger.grants("ada", "credits", [GrantKind.PLAN])),
                dict(tx.ledger.lapsed("ada", "credits", ["grant_1", "grant_2", "grant_3"])),
                dict(tx.ledger.lapsed("ada", "credits", [])),
            ]

        assert await store.read(found) == [["grant_1", "grant_2"], [], {"grant_1": 70}, {}]


async def _account(store: Store, customer: str = "ada") -> Account:
    return await store.read(lambda tx: tx.ledger.account(customer, "credits", lock=False))


async def _check_sums(store: Store) -> None:
    """Invariant 1: posted and held can be rebuilt from the entries, held from the holds too."""

    def check(tx: Transaction) -> None:
        account = tx.ledger.account("ada", "credits", lock=False)
        entries = tx.ledger.entries("ada", "credits", 0, 1_000)
        holds = tx.ledger.open_holds("ada", "credits")
        assert [entry.sequence for entry in entries] == list(range(1, account.version + 1))
        assert account.posted == sum(entry.posted_delta for entry in entries)
        assert account.held == sum(entry.held_delta for entry in entries)
        assert account.held == sum(hold.amount for hold in holds)

    await store.read(check)


def _save(tx: Transaction, before: Account, change: Change) -> None:
    tx.ledger.save(before, change)
