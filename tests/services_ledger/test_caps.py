"""Caps through the gate: an organisation, its teams and their members must all have room."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from gatekeeper import Gatekeeper
from gatekeeper.errors import (
    CreditsRequiredError,
    InvalidAmountError,
    InvalidIdError,
    UnknownNameError,
)
from gatekeeper.ledger import Cap
from gatekeeper.storage.port import Transaction
from gatekeeper.testing.clock import ManualClock
from tests.gates import CUSTOMER, available
from tests.services_ledger.watched import WatchedStore

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
"""Where the tests' clock begins."""


@pytest.fixture
async def rich(gate: Gatekeeper) -> Gatekeeper:
    """A customer of 1,000 credits, more than any cap here."""
    await gate.grant(CUSTOMER, "credits", 995, reason="test")
    return gate


async def reserve(gate: Gatekeeper, amount: int, scope: str = "", **options: Any) -> Any:
    return await gate.reserve(CUSTOMER, "credits", amount, scope=scope, **options)


async def refusal(gate: Gatekeeper, amount: int, scope: str = "") -> dict[str, object]:
    with pytest.raises(CreditsRequiredError) as refused:
        await reserve(gate, amount, scope)
    return refused.value.params


async def caps(store: WatchedStore) -> dict[tuple[str, str], Cap]:
    def work(tx: Transaction) -> Sequence[Cap]:
        return tx.ledger.caps(CUSTOMER, "credits")

    return {(cap.scope, cap.every): cap for cap in await store.read(work)}


async def test_organisation_team_and_member_must_all_have_room(rich: Gatekeeper) -> None:
    await rich.set_cap(CUSTOMER, "credits", "day", 100)
    await rich.set_cap(CUSTOMER, "credits", "day", 60, scope="design")
    await rich.set_cap(CUSTOMER, "credits", "day", 40, scope="design/ann")
    assert (await reserve(rich, 40, "design/ann")).hold.scope == "design/ann"
    told = await refusal(rich, 1, "design/ann")
    assert told == {
        "unit": "credits",
        "required": 1,
        "available": 0,
        "limited_by": "cap",
        "cap_every": "day",
        "cap_scope": "design/ann",
        "cap_limit": 40,
        "resets_at": "2026-11-21T00:00:00+00:00",
    }
    await reserve(rich, 20, "design/bob")
    assert (await refusal(rich, 1, "design"))["cap_scope"] == "design"
    assert (await refusal(rich, 1, "design/bob"))["cap_scope"] == "design"
    await reserve(rich, 40, "sales")
    assert (await refusal(rich, 1, "sales"))["cap_scope"] == ""
    assert (await refusal(rich, 1))["cap_scope"] == ""
    assert (await refusal(rich, 2_000))["limited_by"] == "cap"


async def test_the_balance_is_named_where_it_is_the_smaller_one(rich: Gatekeeper) -> None:
    await rich.set_cap(CUSTOMER, "credits", "day", 5_000, scope="design")
    told = await refusal(rich, 1_001, "design")
    assert (told["limited_by"], told["available"]) == ("balance", 1_000)


async def test_what_comes_back_has_room_again(
    rich: Gatekeeper, clock: ManualClock, store: WatchedStore
) -> None:
    """By a release, by a capture of a part, by an expiry: whichever way the batch goes."""
    await rich.set_cap(CUSTOMER, "credits", "day", 10, scope="design")
    for _ in range(3):  # the second time the account and its hold are in mind
        hold = await reserve(rich, 10, "design/ann")
        assert (await caps(store))["design", "day"].used == 10
        await rich.release(hold.id)
        assert (await caps(store))["design", "day"].used == 0
    hold = await reserve(rich, 10, "design")
    await rich.capture(hold.id, 1, final=False)
    await rich.capture(hold.id, 2)
    assert (await caps(store))["design", "day"].used == 3
    await reserve(rich, 7, "design/ann")
    assert (await refusal(rich, 1, "design"))["available"] == 0
    clock.advance(minutes=6)
    await reserve(rich, 7, "design/bob")
    assert (await caps(store))["design", "day"].used == 10


async def test_a_sweep_gives_room_back(
    rich: Gatekeeper, clock: ManualClock, store: WatchedStore
) -> None:
    await rich.set_cap(CUSTOMER, "credits", "day", 10, scope="design")
    await reserve(rich, 10, "design")
    clock.advance(minutes=6)
    assert await rich.credits.expire_holds() == 1
    assert (await caps(store))["design", "day"].used == 0


async def test_an_extension_needs_room_too(rich: Gatekeeper) -> None:
    await rich.set_cap(CUSTOMER, "credits", "day", 10, scope="design")
    hold = await reserve(rich, 8, "design/ann")
    await rich.extend(hold.id, add_amount=2)
    with pytest.raises(CreditsRequiredError) as refused:
        await rich.extend(hold.id, add_amount=1)
    assert refused.value.params["cap_scope"] == "design"


async def test_what_the_window_has_used_before_counts(
    rich: Gatekeeper, store: WatchedStore
) -> None:
    hold = await reserve(rich, 8, "design/ann")
    await rich.capture(hold.id, 5)
    await reserve(rich, 3, "design")
    await reserve(rich, 90, "designers")
    await rich.set_cap(CUSTOMER, "credits", "month", 10, scope="design")
    assert (await caps(store))["design", "month"].used == 8
    assert (await refusal(rich, 3, "design"))["available"] == 2
    await rich.set_cap(CUSTOMER, "credits", "day", 100)
    assert (await refusal(rich, 3))["available"] == 2


async def test_what_the_same_batch_has_used_counts(rich: Gatekeeper, store: WatchedStore) -> None:
    """A reserve, an end and a cap at once: the cap counts what is left of them."""
    first = await reserve(rich, 20, "design")
    await asyncio.gather(
        rich.release(first.id),
        reserve(rich, 4, "design/ann"),
        reserve(rich, 3, "design"),
        rich.set_cap(CUSTOMER, "credits", "day", 10, scope="design"),
        reserve(rich, 2, "design"),
    )
    assert (await caps(store))["design", "day"].used == 9
    assert (await refusal(rich, 2, "design"))["available"] == 1


async def test_a_new_window_begins_at_nothing(rich: Gatekeeper, clock: ManualClock) -> None:
    await rich.set_cap(CUSTOMER, "credits", "day", 10)
    await rich.set_cap(CUSTOMER, "credits", "hour", 7, scope="design")
    await reserve(rich, 7, "design")
    told = await refusal(rich, 1, "design")
    assert (told["cap_every"], told["resets_at"]) == ("hour", "2026-11-20T13:00:00+00:00")
    clock.set(datetime(2026, 11, 20, 13, tzinfo=UTC))
    told = await refusal(rich, 11, "design")  # by then the first hold has expired
    assert (told["cap_every"], told["available"]) == ("hour", 7)
    await reserve(rich, 7, "design")
    clock.set(datetime(2026, 11, 21, tzinfo=UTC))
    await reserve(rich, 10)


async def test_a_cap_is_lifted(rich: Gatekeeper) -> None:
    for scope in ("", "design"):
        await rich.set_cap(CUSTOMER, "credits", "day", 0, scope=scope)
        assert (await refusal(rich, 1, scope))["cap_limit"] == 0
        await rich.set_cap(CUSTOMER, "credits", "day", None, scope=scope)
        assert (await reserve(rich, 1, scope)).amount == 1


async def test_in_part_means_what_the_cap_lets_through(rich: Gatekeeper) -> None:
    await rich.set_cap(CUSTOMER, "credits", "day", 10, scope="design")
    assert (await reserve(rich, 25, "design", partial=True)).amount == 10


async def test_at_once_no_more_gets_through_than_the_cap_lets(rich: Gatekeeper) -> None:
    await rich.set_cap(CUSTOMER, "credits", "day", 10, scope="design")
    outcomes = await asyncio.gather(
        *(reserve(rich, 3, f"design/{n}") for n in range(8)), return_exceptions=True
    )
    assert sum(isinstance(one, CreditsRequiredError) for one in outcomes) == 5


async def test_what_can_not_be_a_cap_is_refused(gate: Gatekeeper) -> None:
    wrong: list[tuple[type[Exception], str, str, int, dict[str, Any]]] = [
        (UnknownNameError, "nothing", "day", 1, {}),
        (UnknownNameError, "credits", "fortnight", 1, {}),
        (InvalidAmountError, "credits", "day", -1, {}),
        (InvalidIdError, "credits", "day", 1, {"scope": "design//ann"}),
        (InvalidIdError, "credits", "day", 1, {"scope": "/"}),
        (InvalidIdError, "credits", "day", 1, {"actor": ""}),
    ]
    for error, unit, every, limit, options in wrong:
        with pytest.raises(error):
            await gate.set_cap(CUSTOMER, unit, every, limit, **options)  # type: ignore[arg-type] # on purpose
    with pytest.raises(InvalidIdError):
        await reserve(gate, 1, "design/")
    assert await available(gate) == 5
