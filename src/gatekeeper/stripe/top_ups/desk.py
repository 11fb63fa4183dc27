"""The desk of automatic top-ups: what a customer has agreed to, and how far it is."""

from collections.abc import Sequence
from typing import Final

import msgspec

from gatekeeper import topping_up
from gatekeeper.catalog import Catalog, Pack, Price
from gatekeeper.errors import InvalidInputError, NotFoundError, UnknownNameError
from gatekeeper.services import top_ups
from gatekeeper.services.rules import Rules
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.client import StripeGateway
from gatekeeper.topping_up import BlockReason, TopUp, Wish
from gatekeeper.types import check_amount, check_id

_OPEN: Final = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})


class OpenPayment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that only the customer themselves can finish.

    Attributes:
        payment_intent: Stripe's id of it.
        client_secret: for the customer's own browser, and nobody else: Stripe.js confirms with it.
        payment_method: the saved card by which it was tried.
        amount_minor: in minor units of `currency`.
    """

    payment_intent: str
    client_secret: str
    payment_method: str
    amount_minor: int
    currency: str


class TopUpDesk:
    """The automatic top-ups of one gate's customers."""

    def __init__(self, store: Store, rules: Rules, gateway: StripeGateway) -> None:
        self._store = store
        self._rules = rules
        self._gateway = gateway

    async def turn_on(
        self,
        customer: str,
        unit: str,
        *,
        threshold: int,
        pack: str,
        cap_minor: int,
        currency: str | None = None,
        actor: str | None = None,
    ) -> TopUp:
        """Have a pack bought whenever less than `threshold` can be spent, or change how. It is the
        customer who agrees to that: call it where they have said so.

        A breaker stays as it is, and so does the wait after a decline. What was spent this month
        still counts, in the same currency.

        Args:
            unit: which the pack grants.
            threshold: in the unit's steps; what holds claim can't be spent.
            pack: its key in the catalogue.
            cap_minor: the most to be spent in a calendar month (UTC), in minor units of the pack's
                currency.
            currency: which of the pack's prices; None if it has one.
            actor: who agreed, for the record.

        Raises:
            InvalidIdError, InvalidAmountError.
            UnknownNameError: the catalogue has no such unit or pack.
            InvalidInputError: the pack does not grant the unit, or not in this currency; or one
                alone is beyond the cap.
            ConflictError: a payment in another currency is under way, or was made in this month:
                the month's cap counts in one currency.
            CustomerNotFoundError: the customer was deleted.
        """
        check_id(customer, "customer")
        self._rules.catalog.unit(unit)
        check_amount(threshold, "The threshold")
        bought, price = _chosen(self._rules.catalog, pack, currency)
        if unit not in (amount.unit.key for amount in bought.amounts):
            raise InvalidInputError(f"Pack {pack!r} holds no {unit}.")
        check_amount(cap_minor, "The cap")
        if cap_minor < price.amount_minor:
            raise InvalidInputError(
                f"The cap of {cap_minor} is less than one pack costs: {price.amount_minor}."
            )
        wish = Wish(
            threshold=threshold,
            pack=bought.key,
            price=price.lookup_key,
            amount_minor=price.amount_minor,
            currency=price.currency,
            cap_minor=cap_minor,
            agreed_by=actor,
        )
        return await self._store.write(
            lambda tx: top_ups.agree(tx, self._rules, customer, unit, wish)
        )

    async def turn_off(self, customer: str, unit: str) -> TopUp:
        """Have nothing more bought. What is being paid just now ends as it will.

        Raises:
            NotFoundError: the customer has no top-up of this unit.
        """
        check_id(customer, "customer")
        return await self._store.write(lambda tx: top_ups.turn_off(tx, self._rules, customer, unit))

    async def get(self, customer: str, unit: str) -> TopUp:
        """A customer's top-up of a unit, as it is now: `spent_minor` is of this month.

        Raises:
            NotFoundError: there is none.
        """

        def work(tx: Transaction) -> TopUp:
            found = tx.top_ups.get(customer, unit)
            if found is None:
                raise NotFoundError(f"There is no top-up of {unit!r}.")
            return topping_up.in_month(found, tx.now())

        return await self._store.read(work)

    async def of(self, customer: str) -> Sequence[TopUp]:
        """A customer's top-ups as they are now, by unit; also those that are turned off."""

        def work(tx: Transaction) -> list[TopUp]:
            return [topping_up.in_month(one, tx.now()) for one in tx.top_ups.of(customer)]

        return await self._store.read(work)

    async def open_payment(self, customer: str, unit: str) -> OpenPayment:
        """The payment that waits for the customer, where a top-up is blocked because the bank asks
        for them. Once they have confirmed it in their browser, its credits are given by its event,
        and the top-up goes on (https://docs.stripe.com/payments/save-and-reuse#charge-saved-payment-method).

        Raises:
            NotFoundError: there is none, or it is not open any more.
            StripeUnavailableError, StripeRequestError.
        """
        top_up = await self.get(customer, unit)
        purchase_id = top_up.purchase_id
        if top_up.reason is not BlockReason.AUTHENTICATION_REQUIRED or purchase_id is None:
            raise NotFoundError("No payment waits for the customer.")
        purchase = await self._store.read(lambda tx: tx.purchases.get(purchase_id))
        intent_id = None if purchase is None else purchase.payment_intent_id
        found = (
            None if intent_id is None else await self._gateway.fetch("payment_intent", intent_id)
        )
        if found is None or found["status"] not in _OPEN:
            raise NotFoundError("No payment waits for the customer.")
        return OpenPayment(
            payment_intent=found["id"],
            client_secret=found["client_secret"],
            payment_method=str(top_up.card),
            amount_minor=found["amount"],
            currency=found["currency"],
        )


def _chosen(catalog: Catalog, pack: str, currency: str | None) -> tuple[Pack, Price]:
    """A pack of the catalogue, and its price in a currency."""
    found = catalog.packs.get(pack)
    if found is None:
        raise UnknownNameError("pack", pack, catalog.packs)
    prices = [one for one in found.all_prices if currency in (None, one.currency)]
    if len(prices) != 1:
        known = ", ".join(sorted({one.currency for one in found.all_prices}))
        raise InvalidInputError(f"Pack {pack!r} is sold in: {known}. Say which currency.")
    return found, prices[0]
