"""The resolver: what a customer may use, from the cache or, on a miss, from the store.

The path of every request. It never asks Stripe, and a hit does no I/O.
"""

import logging
from dataclasses import dataclass
from typing import Literal

from gatekeeper.cache import Cache
from gatekeeper.entitlements import Entitlements, Explanation, evaluate, explain
from gatekeeper.errors import FeatureRequiredError, StoreUnavailableError
from gatekeeper.services.customers import state_of
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.telemetry import OFF, Telemetry, metrics
from gatekeeper.types import check_id

logger = logging.getLogger("gatekeeper")


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether something is allowed, and whether the answer is known or a policy for an outage."""

    allowed: bool
    basis: Literal["entitlements", "last_known", "outage_policy"] = "entitlements"

    def __bool__(self) -> bool:
        return self.allowed


class Resolver:
    """Answers what a customer may use, now."""

    def __init__(
        self,
        store: Store,
        cache: Cache[Entitlements],
        rules: Rules,
        telemetry: Telemetry = OFF,
    ) -> None:
        self._telemetry = telemetry
        self._store = store
        self._cache = cache
        self._rules = rules
        self.peek = cache.peek
        """The entitlements if this process holds them fresh, else None: synchronous, no I/O."""

    async def entitlements(self, customer: str) -> Entitlements:
        """The customer's entitlements.

        Raises:
            InvalidIdError, CustomerNotFoundError.
            StoreUnavailableError: they are not cached and the database can't be reached.
        """
        held = self._cache.peek(customer)
        if held is not None:
            return held
        check_id(customer, "customer")
        return await self._cache.get_or_load(customer, lambda: self._load(customer))

    async def feature(self, customer: str, feature: str) -> Decision:
        """Whether the customer has a feature; in an outage, what the feature declares.

        Raises:
            UnknownNameError: the catalogue has no such feature: refused, never allowed.
            InvalidIdError, CustomerNotFoundError.
        """
        decision = await self._feature(customer, feature)
        if not decision:
            is_outage = decision.basis == "outage_policy"
            reason = StoreUnavailableError.code if is_outage else FeatureRequiredError.code
            self._telemetry.count(
                metrics.DENIALS, {metrics.REASON: reason, metrics.SUBJECT: feature}
            )
        return decision

    async def _feature(self, customer: str, feature: str) -> Decision:
        declared = self._rules.catalog.feature(feature)
        try:
            entitlements = await self.entitlements(customer)
        except StoreUnavailableError:
            logger.warning("feature %s: store unavailable, policy %s", feature, declared.on_outage)
            if declared.on_outage == "allow":
                return Decision(True, "outage_policy")
            last = self._cache.last_known(customer)
            if declared.on_outage == "last_known" and last is not None:
                return Decision(feature in last.features, "last_known")
            return Decision(False, "outage_policy")
        return Decision(feature in entitlements.features)

    async def explain(self, customer: str) -> Explanation:
        """The whole path of the decision, read from the database."""
        check_id(customer, "customer")
        return await self._store.read(lambda tx: explained(tx, self._rules, customer))

    async def invalidate(self, customer: str, version: int) -> None:
        """Forget what is older than `version`, here and in every process; call after the commit."""
        await self._cache.invalidate(customer, version)

    async def _load(self, customer: str) -> Entitlements:
        return await self._store.read(lambda tx: resolve(tx, self._rules, customer))


def resolve(tx: Transaction, rules: Rules, customer: str) -> Entitlements:
    """The customer's entitlements as the database has them now."""
    state = state_of(tx, customer)
    return evaluate(state, rules.default_terms, rules.policy, tx.now(), terms_of=rules.terms_of)


def explained(tx: Transaction, rules: Rules, customer: str) -> Explanation:
    """The whole path by which a customer's entitlements come about."""
    state = state_of(tx, customer)
    return explain(state, rules.default_terms, rules.policy, tx.now(), terms_of=rules.terms_of)
