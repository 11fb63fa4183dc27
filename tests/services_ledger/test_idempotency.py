"""Idempotency keys: the same body, the same answer and one effect; another body, a 409."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from gatekeeper import Gatekeeper
from gatekeeper.errors import (
    AlreadySettledError,
    ConflictError,
    CreditsRequiredError,
    GatekeeperError,
    IdempotencyConflictError,
    InvalidIdError,
    OverrunError,
)
from gatekeeper.ledger import Clawback, GrantCredits, GrantKind, HoldStatus
from gatekeeper.testing.clock import ManualClock
from tests.gates import CUSTOMER, available, held
from tests.services_ledger.watched import WatchedStore

pytestmark = [pytest.mark.anyio, pytest.mark.unmeasured]


async def outcomes_of(*work: Awaitable[Any]) -> list[Any]:
    return await asyncio.gather(*work, return_exceptions=True)


def reserve(gate: Gatekeeper, amount: int, key: str, **options: Any) -> Awaitable[Any]:
    return gate.reserve(CUSTOMER, "credits", amount, idempotency_key=key, **options)


# -- in one batch ---------------------------------------------------------------------------------


async def test_equal_requests_of_one_batch_make_one_hold(gate: Gatekeeper) -> None:
    outcomes = await outcomes_of(*(reserve(gate, 2, "key") for _ in range(6)))
    assert len({one.id for one in outcomes}) == 1
    assert await held(gate) == 2


async def test_another_body_of_the_same_batch_is_a_409(gate: Gatekeeper) -> None:
    outcomes = await outcomes_of(
        reserve(gate, 2, "key"), reserve(gate, 1, "key"), reserve(gate, 1, "other")
    )
    conflicts = [one for one in outcomes if isinstance(one, IdempotencyConflictError)]
    assert [one.status for one in conflicts] == [409]
    assert conflicts[0] is not outcomes[2]
    assert await held(gate) in (2, 3)


async def test_a_refusal_is_not_remembered(gate: Gatekeeper) -> None:
    refusals = await outcomes_of(reserve(gate, 6, "key"), reserve(gate, 6, "key"))
    assert [type(one) for one in refusals] == [CreditsRequiredError] * 2
    await gate.grant(CUSTOMER, "credits", 1, reason="test")
    [made] = await outcomes_of(reserve(gate, 6, "key"))
    assert made.amount == 6


async def test_a_guarded_request_is_refused_while_the_first_runs_and_after_it_was_charged(
    gate: Gatekeeper,
) -> None:
    first, second = await outcomes_of(
        reserve(gate, 2, "key", once=True), reserve(gate, 2, "key", once=True)
    )
    refused, made = (first, second) if isinstance(first, Exception) else (second, first)
    assert type(refused) is ConflictError
    await gate.release(made.id)
    [again] = await outcomes_of(reserve(gate, 2, "key", once=True))
    await gate.capture(again.id)
    [refused] = await outcomes_of(reserve(gate, 2, "key", once=True))
    assert isinstance(refused, AlreadySettledError)


async def test_a_request_repeated_and_cancelled_leaves_the_first_ones_hold_alone(
    gate: Gatekeeper, store: WatchedStore
) -> None:
    """Under the same hold id, too: it is the first one's all the same."""
    first = await reserve(gate, 2, "key", hold_id="job")
    store.writes.turnstile.shut()
    again = asyncio.ensure_future(_awaited(reserve(gate, 2, "key", hold_id="job")))
    await store.writes.turnstile.arrived.wait()
    again.cancel()
    store.writes.turnstile.open()
    await asyncio.wait([again])
    await gate.credits.drained()
    assert (await gate.hold(first.id)).status is HoldStatus.OPEN


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


# -- what is done to a hold -----------------------------------------------------------------------

Act = Callable[[Gatekeeper, str, str], Awaitable[Any]]


def capture(gate: Gatekeeper, hold_id: str, key: str) -> Awaitable[Any]:
    return gate.capture(hold_id, 1, final=False, idempotency_key=key)


def release(gate: Gatekeeper, hold_id: str, key: str) -> Awaitable[Any]:
    return gate.release(hold_id, idempotency_key=key)


def extend(gate: Gatekeeper, hold_id: str, key: str) -> Awaitable[Any]:
    return gate.extend(hold_id, timedelta(minutes=9), add_amount=1, idempotency_key=key)


@pytest.mark.parametrize("act", [capture, release, extend])
@pytest.mark.parametrize("together", [True, False])
async def test_a_repeated_command_has_the_same_answer_and_one_effect(
    gate: Gatekeeper, clock: ManualClock, act: Act, together: bool
) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 3)
    if together:
        answers = await asyncio.gather(*(act(gate, hold.id, "key") for _ in range(4)))
    else:
        answers = []
        for _ in range(3):
            answers.append(await act(gate, hold.id, "key"))
            clock.advance(seconds=1)
    assert all(one == answers[0] for one in answers)
    kept = await gate.hold(hold.id)
    assert kept == answers[0]
    assert kept.captured == (act is capture)
    assert kept.amount == 3 + (act is extend)
    assert await held(gate) == (0 if act is release else kept.remaining)


@pytest.mark.parametrize("act", [capture, release, extend])
async def test_another_command_under_the_key_is_a_409(gate: Gatekeeper, act: Act) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 3)
    other = await gate.reserve(CUSTOMER, "credits", 1)
    await act(gate, hold.id, "key")
    different: list[Awaitable[Any]] = [
        act(gate, other.id, "key"),
        gate.capture(other.id, idempotency_key="key"),
        gate.capture(hold.id, 2, final=False, idempotency_key="key"),
        gate.capture(hold.id, 1, idempotency_key="key"),
        gate.extend(hold.id, timedelta(minutes=8), add_amount=1, idempotency_key="key"),
        gate.grant(CUSTOMER, "credits", 1, reason="test", idempotency_key="key"),
    ]
    for one in await outcomes_of(*different):
        assert isinstance(one, IdempotencyConflictError)
    assert (await gate.hold(other.id)).status is HoldStatus.OPEN


async def test_a_refused_command_leaves_its_key_free(gate: Gatekeeper) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 3)
    [refused] = await outcomes_of(gate.capture(hold.id, 4, idempotency_key="key"))
    assert isinstance(refused, OverrunError)
    assert (await gate.capture(hold.id, 3, idempotency_key="key")).captured == 3


@pytest.mark.parametrize("loss", ["before", "after"])
async def test_with_a_key_every_command_is_sent_again_after_a_lost_answer(
    gate: Gatekeeper, store: WatchedStore, loss: Any
) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 3)
    store.writes.losses = [loss]
    assert (await extend(gate, hold.id, "one")).amount == 4
    store.writes.losses = [loss]
    assert (await capture(gate, hold.id, "two")).captured == 1
    store.writes.losses = [loss]
    assert (await release(gate, hold.id, "three")).status is HoldStatus.RELEASED
    assert (await available(gate), await held(gate)) == (4, 0)


async def test_a_key_has_to_be_an_id(gate: Gatekeeper) -> None:
    hold = await gate.reserve(CUSTOMER, "credits", 1)
    wrong: list[Awaitable[Any]] = [
        capture(gate, hold.id, ""),
        reserve(gate, 1, "x" * 300),
        gate.grant(CUSTOMER, "credits", 1, reason="test", idempotency_key="\n"),
        gate.revoke(CUSTOMER, "credits", "grant", reason="test", idempotency_key=""),
        gate.set_cap(CUSTOMER, "credits", "day", 1, idempotency_key=""),
    ]
    for one in await outcomes_of(*wrong):
        assert isinstance(one, InvalidIdError)


# -- what is done to an account -------------------------------------------------------------------


async def test_a_repeated_grant_is_given_once(gate: Gatekeeper) -> None:
    def grant(amount: int, **options: Any) -> Awaitable[Any]:
        return gate.grant(
            CUSTOMER, "credits", amount, reason="sorry", idempotency_key="key", **options
        )

    given = await asyncio.gather(*(grant(7) for _ in range(3)))
    assert len({one.id for one in given}) == 1
    for one in await outcomes_of(grant(8), grant(7, metadata={"a": "b"}), grant(7, priority=1)):
        assert isinstance(one, IdempotencyConflictError)
    assert await available(gate) == 12


async def test_a_key_is_used_up_by_a_grant_that_its_purchase_was_given_before(
    gate: Gatekeeper,
) -> None:
    def grant(grant_id: str, amount: int, purchase: str, key: str | None) -> Awaitable[Any]:
        command = GrantCredits(grant_id, amount, GrantKind.TOP_UP, source_key=purchase)
        return gate.credits.grant(CUSTOMER, "credits", command, idempotency_key=key)

    first = await grant("one", 7, "pi_1", None)
    for _ in range(2):
        assert await grant("one", 7, "pi_1", "key") == first
    [other] = await outcomes_of(grant("two", 8, "pi_2", "key"))
    assert isinstance(other, IdempotencyConflictError)
    assert await available(gate) == 12


async def test_a_repeated_revocation_tells_again_what_lapsed(gate: Gatekeeper) -> None:
    first = await gate.grant(CUSTOMER, "credits", 7, reason="test")
    second = await gate.grant(CUSTOMER, "credits", 8, reason="test")

    def revoke(grant_id: str, reason: str = "a mistake") -> Awaitable[Any]:
        return gate.revoke(CUSTOMER, "credits", grant_id, reason=reason, idempotency_key="key")

    assert [await revoke(first.id) for _ in range(2)] == [7, 7]
    for one in await outcomes_of(revoke(second.id), revoke(first.id, "another")):
        assert isinstance(one, IdempotencyConflictError)
    assert await available(gate) == 13
    assert await gate.revoke(CUSTOMER, "credits", first.id, reason="without a key") == 0


async def test_a_repeated_clawback_takes_once(gate: Gatekeeper) -> None:
    for _ in range(2):
        change = await gate.credits.change(
            CUSTOMER, "credits", Clawback(2, reference="re_1"), idempotency_key="re_1"
        )
        assert sum(entry.posted_delta for entry in change.entries) == -2
    assert await available(gate) == 3


async def test_a_repeated_cap_is_set_once(gate: Gatekeeper) -> None:
    def set_cap(limit: int | None, **options: Any) -> Awaitable[None]:
        return gate.set_cap(CUSTOMER, "credits", "day", limit, idempotency_key="key", **options)

    await set_cap(2)
    await gate.set_cap(CUSTOMER, "credits", "day", 3)
    await set_cap(2)  # it was done before
    assert (await gate.reserve(CUSTOMER, "credits", 3)).amount == 3
    for one in await outcomes_of(set_cap(4), set_cap(None), set_cap(2, scope="design")):
        assert isinstance(one, IdempotencyConflictError)


async def test_a_key_belongs_to_one_customer(gate: Gatekeeper) -> None:
    mine = await reserve(gate, 2, "key")
    theirs = await gate.reserve("org_43", "credits", 3, idempotency_key="key")
    assert mine.id != theirs.id


async def test_equal_requests_one_after_the_other_share_their_hold_until_it_is_released(
    gate: Gatekeeper, clock: ManualClock
) -> None:
    first = await reserve(gate, 2, "key")
    assert (await reserve(gate, 2, "key")).id == first.id
    await gate.release(first.id)
    second = await reserve(gate, 2, "key")
    assert second.id != first.id
    clock.advance(minutes=6)  # its time is over: it has done nothing
    third = await reserve(gate, 2, "key")
    assert third.id not in (first.id, second.id)
    await gate.capture(third.id, 1)
    assert (await reserve(gate, 2, "key")).id == third.id
    with pytest.raises(GatekeeperError):
        await reserve(gate, 2, "key", once=True)
