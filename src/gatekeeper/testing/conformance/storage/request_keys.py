"""Keys under which clients make a request once."""

import pytest
from msgspec.structs import replace

from gatekeeper.storage.port import Store, Transaction
from gatekeeper.storage.request_keys import RequestKey
from gatekeeper.testing.conformance.storage.samples import DAY, NOW

FIRST = RequestKey(customer="org_1", key="k_1", body_hash="one", created_at=NOW)


class RequestKeyConformance:
    """What every store must do with keys of requests. Provide an opened `store` as a fixture."""

    pytestmark = pytest.mark.anyio

    async def test_the_first_use_of_a_key_stays(self, store: Store) -> None:
        later = replace(FIRST, body_hash="another", created_at=NOW + DAY)
        of_another = replace(later, customer="org_2")

        def use(tx: Transaction) -> list[RequestKey]:
            return [tx.request_keys.use(one) for one in (FIRST, later, of_another)]

        assert await store.write(use) == [FIRST, FIRST, of_another]

    async def test_a_key_that_is_forgotten_may_be_used_anew(self, store: Store) -> None:
        later, other = replace(FIRST, body_hash="another"), replace(FIRST, key="k_2")

        def work(tx: Transaction) -> list[RequestKey]:
            for one in (FIRST, other):
                tx.request_keys.use(one)
            tx.request_keys.forget(FIRST)
            tx.request_keys.forget(FIRST)
            return [tx.request_keys.use(one) for one in (later, other)]

        assert await store.write(work) == [later, other]

    async def test_old_keys_are_forgotten_the_oldest_first(self, store: Store) -> None:
        keys = [replace(FIRST, key=f"k_{day}", created_at=NOW + day * DAY) for day in range(4)]

        def prune(tx: Transaction) -> list[int]:
            for one in keys:
                tx.request_keys.use(one)
            return [tx.request_keys.prune(NOW + 3 * DAY, 2) for _ in range(3)]

        assert await store.write(prune) == [2, 1, 0]
        again = replace(keys[3], body_hash="another")
        assert await store.write(lambda tx: tx.request_keys.use(again)) == keys[3]
        anew = replace(keys[0], body_hash="another")
        assert await store.write(lambda tx: tx.request_keys.use(anew)) == anew

    async def test_an_erased_customer_has_no_keys(self, store: Store) -> None:
        anew = replace(FIRST, body_hash="another")

        def erase(tx: Transaction) -> list[RequestKey]:
            tx.request_keys.use(FIRST)
            tx.audit.erase("org_1", "erased_1", NOW)
            return [tx.request_keys.use(one) for one in (anew, replace(anew, customer="erased_1"))]

        assert await store.write(erase) == [anew, replace(anew, customer="erased_1")]
