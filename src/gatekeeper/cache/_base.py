"""What the caches have in common: the map of the process and the single flight in front of it."""

from abc import abstractmethod
from functools import partial

from gatekeeper.cache._local import LocalMap
from gatekeeper.cache._single_flight import SingleFlight
from gatekeeper.cache.port import Cache, CachePolicy, Freshness, Load, Monotonic, V


class LocalCache(Cache[V]):
    """Serves from a `LocalMap`; a subclass says in `_fill` where a missing value comes from."""

    def __init__(self, policy: CachePolicy, local: LocalMap[V], *, monotonic: Monotonic) -> None:
        self.policy = policy
        self.stats = local.stats
        self._local = local
        self._monotonic = monotonic
        self._flights: SingleFlight[V] = SingleFlight()

    @property
    def freshness(self) -> Freshness:
        return self._local.freshness

    def peek(self, customer: str) -> V | None:
        return self._local.get(customer)

    def last_known(self, customer: str) -> V | None:
        return self._local.last_known(customer)

    async def get_or_load(self, customer: str, load: Load[V]) -> V:
        value = self._local.get(customer)
        if value is not None:
            return value
        return await self._flights.run(customer, partial(self._fly, customer, load))

    async def invalidate(self, customer: str, version: int) -> None:
        self.stats.invalidations += 1
        self._local.raise_floor(customer, version)

    async def aclose(self) -> None:
        await self._flights.aclose()

    async def _fly(self, customer: str, load: Load[V]) -> V:
        with self._local.floors.pinned(customer):
            return await self._fill(customer, load)

    @abstractmethod
    async def _fill(self, customer: str, load: Load[V]) -> V:
        """Bring the customer's value from wherever it is and keep it; the floors are pinned."""

    async def _load(self, load: Load[V]) -> V:
        try:
            value = await load()
        except Exception:
            self.stats.load_failures += 1
            raise
        self.stats.loads += 1
        return value
