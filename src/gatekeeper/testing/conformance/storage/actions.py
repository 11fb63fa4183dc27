"""What the back office has done."""

import pytest
from msgspec.structs import replace

from gatekeeper.storage.actions import Action, ActionQuery
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.testing.conformance.storage.samples import DAY, HOUR, NOW

GRANTED = Action(
    id="act_1",
    at=NOW,
    actor="ann@support",
    kind="credits.grant",
    customer="ada",
    subject="grant/g_1",
    reason="Made good: the export failed.",
    before='{"available":5}',
    after='{"available":25}',
    fingerprint="f" * 64,
)
OTHERS = (
    replace(GRANTED, id="act_2", at=NOW + HOUR, actor="bob@support", kind="customer.freeze"),
    replace(GRANTED, id="act_3", at=NOW + HOUR, customer="bob"),
    replace(GRANTED, id="act_4", at=NOW + DAY, customer=None, kind="event.retry"),
)


def _fill(tx: Transaction) -> None:
    for one in (GRANTED, *OTHERS):
        assert tx.actions.add(one)


class ActionConformance:
    """What every store must do with actions. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_an_action_comes_back_as_written_and_stays_so(self, store: Store) -> None:
        bare = Action(id="act_9", at=NOW, actor="ann", kind="outbox.retry", reason="r")
        assert await store.write(lambda tx: tx.actions.add(GRANTED))
        assert await store.write(lambda tx: tx.actions.add(bare))
        assert not await store.write(lambda tx: tx.actions.add(replace(GRANTED, reason="other")))
        assert await store.read(lambda tx: tx.actions.get("act_1")) == GRANTED
        assert await store.read(lambda tx: tx.actions.get("act_9")) == bare
        assert await store.read(lambda tx: tx.actions.get("act_0")) is None

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            (ActionQuery(), ["act_4", "act_3", "act_2", "act_1"]),
            (ActionQuery(customer="ada"), ["act_2", "act_1"]),
            (ActionQuery(actor="ann@support", customer="ada"), ["act_1"]),
            (ActionQuery(kind="credits.grant"), ["act_3", "act_1"]),
            (ActionQuery(since=NOW + HOUR), ["act_4", "act_3", "act_2"]),
            (ActionQuery(since=NOW, until=NOW + HOUR), ["act_1"]),
        ],
        ids=lambda value: "",
    )
    async def test_actions_are_found_the_newest_first(
        self, store: Store, query: ActionQuery, found: list[str]
    ) -> None:
        await store.write(_fill)
        listed = await store.read(lambda tx: tx.actions.listed(query, 10))
        assert [one.id for one in listed] == found

    async def test_actions_are_paged(self, store: Store) -> None:
        await store.write(_fill)
        first = await store.read(lambda tx: tx.actions.listed(ActionQuery(), 2))
        place = first[-1].place
        rest = await store.read(lambda tx: tx.actions.listed(ActionQuery(), 9, place))
        assert [one.id for one in (*first, *rest)] == ["act_4", "act_3", "act_2", "act_1"]

    async def test_an_erasure_renames_whoever_acted_as_the_customer(self, store: Store) -> None:
        sold = replace(GRANTED, id="act_5", actor="ada", customer="bob", kind="refund.create")
        await store.write(lambda tx: tx.actions.add(sold))
        await store.write(lambda tx: tx.audit.erase("ada", "erased_1", NOW + DAY))
        kept = await store.read(lambda tx: tx.actions.get("act_5"))
        assert kept == replace(sold, actor="erased_1")

    async def test_an_erasure_wipes_what_names_the_customer(self, store: Store) -> None:
        await store.write(_fill)
        await store.write(lambda tx: tx.audit.erase("ada", "erased_1", NOW + DAY))
        kept = await store.read(lambda tx: tx.actions.listed(ActionQuery(customer="erased_1"), 9))
        assert [(one.id, one.actor, one.kind, one.at) for one in kept] == [
            ("act_2", "bob@support", "customer.freeze", NOW + HOUR),
            ("act_1", "ann@support", "credits.grant", NOW),
        ]
        assert {
            (one.subject, one.reason, one.before, one.after, one.fingerprint) for one in kept
        } == {(None, "", None, None, "")}
        assert await store.read(lambda tx: tx.actions.get("act_3")) == OTHERS[1]
