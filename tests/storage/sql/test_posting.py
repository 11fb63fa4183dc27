"""Postings on both databases: what they refuse to store, and in which shapes they come."""

from functools import partial

import pytest
from msgspec.structs import replace

from gatekeeper.errors import InvalidInputError
from gatekeeper.ledger import Reserve, apply
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.postings import posting_of
from gatekeeper.storage.sql.store import SqlStore
from gatekeeper.testing.conformance.storage import samples
from gatekeeper.testing.conformance.storage.samples import HOUR, NOW

pytestmark = pytest.mark.anyio

FIELDS = ("actor", "feature", "reference", "scope", "metadata")


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", ["a\x00b", "\ud800"])
async def test_text_that_can_not_be_stored_is_refused_and_nothing_is_written(
    store: SqlStore, field: str, value: str
) -> None:
    before = (await store.write(partial(samples.fund, amount=100))).account

    def reserve(tx: Transaction) -> None:
        account = tx.ledger.account("ada", "credits", lock=True)
        change = apply(account, Reserve("hold", 1, NOW + HOUR), NOW)
        posting = posting_of(account, change)
        posting.entries[0] = replace(posting.entries[0], **{field: value})
        tx.ledger.post([posting])

    with pytest.raises(InvalidInputError):
        await store.write(reserve)
    after = await store.read(lambda tx: tx.ledger.account("ada", "credits", lock=False))
    assert after == before
