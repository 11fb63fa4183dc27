"""Buying, what sellers are owed, and customers whose credits are frozen."""

from collections.abc import Sequence

from gatekeeper.services.transfers import Owed
from gatekeeper.storage.freezes import Freeze
from gatekeeper.storage.records import Purchase
from gatekeeper.storage.transfers import Transfer
from gatekeeper.stripe.checkout import CheckoutLink
from gatekeeper.sync.waiting import Waiting


class MoneyCalls(Waiting):
    """What money does at Stripe, and what follows from it."""

    def checkout(
        self,
        customer: str,
        price: str,
        *,
        success_url: str,
        cancel_url: str,
        quantity: int = 1,
        coupon: str | None = None,
        promotion_code: str | None = None,
        idempotency_key: str | None = None,
    ) -> CheckoutLink:
        """As `gate.checkout`."""
        return self.call(
            self.gate.checkout,
            customer,
            price,
            success_url=success_url,
            cancel_url=cancel_url,
            quantity=quantity,
            coupon=coupon,
            promotion_code=promotion_code,
            idempotency_key=idempotency_key,
        )

    def checkout_status(self, purchase_id: str, customer: str) -> Purchase:
        """As `gate.checkout_status`."""
        return self.call(self.gate.checkout_status, purchase_id, customer)

    def duplicate_purchases(
        self, customer: str | None = None, *, limit: int = 100
    ) -> Sequence[Purchase]:
        """As `gate.duplicate_purchases`."""
        return self.call(self.gate.duplicate_purchases, customer, limit=limit)

    def portal(self, customer: str, *, return_url: str) -> str:
        """As `gate.portal`."""
        return self.call(self.gate.portal, customer, return_url=return_url)

    # -- sellers ----------------------------------------------------------------------------------

    def owe_transfer(
        self,
        transfer_id: str,
        *,
        customer: str,
        charge_id: str,
        destination: str,
        amount_minor: int,
        currency: str,
        session: object = None,
    ) -> Transfer:
        """As `gate.owe_transfer`."""
        owed: Owed = {
            "customer": customer,
            "charge_id": charge_id,
            "destination": destination,
            "amount_minor": amount_minor,
            "currency": currency,
        }
        if session is not None:
            return self.gate.transfers.owe_in(session, transfer_id, **owed)
        return self.call(self.gate.owe_transfer, transfer_id, **owed)

    def unsent_transfers(self, *, limit: int = 100) -> Sequence[Transfer]:
        """As `gate.unsent_transfers`."""
        return self.call(self.gate.unsent_transfers, limit=limit)

    def retry_transfer(self, transfer_id: str) -> Transfer:
        """As `gate.retry_transfer`."""
        return self.call(self.gate.retry_transfer, transfer_id)

    # -- freezes ----------------------------------------------------------------------------------

    def freeze(self, customer: str, reason: str, *, key: str) -> bool:
        """As `gate.freeze`."""
        return self.call(self.gate.freeze, customer, reason, key=key)

    def unfreeze(self, customer: str, *, actor: str, key: str | None = None) -> bool:
        """As `gate.unfreeze`."""
        return self.call(self.gate.unfreeze, customer, actor=actor, key=key)

    def freezes(self, customer: str) -> Sequence[Freeze]:
        """As `gate.freezes`."""
        return self.call(self.gate.freezes, customer)
