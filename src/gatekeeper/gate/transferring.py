"""What is owed to sellers of what buyers have paid."""

from collections.abc import Sequence

from gatekeeper.gate.wired import Wired
from gatekeeper.storage.transfers import Transfer


class TransferMethods(Wired):
    """What sellers are to get, and what of it they did not get yet."""

    async def owe_transfer(
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
        """Note that a seller is owed a part of a charge: it is sent by a transfer soon after, once,
        however often this is called with the same `transfer_id`.

        Args:
            transfer_id: the host's own name for it, such as the id of an order line.
            customer: who has paid.
            charge_id: the charge whose money it is (`ch_...` or `py_...`).
            destination: the seller's connected account (`acct_...`).
            amount_minor: in minor units of `currency`.
            currency: lower-case ISO 4217.
            session: the host's open transaction, which it is then a part of.

        Raises:
            InvalidIdError, InvalidAmountError.
            InvalidInputError: Stripe takes no such currency.
            CustomerNotFoundError: the customer was erased.
            IdempotencyConflictError: this id is of another charge, seller or amount.
        """
        return await self.transfers.owe(
            transfer_id,
            customer=customer,
            charge_id=charge_id,
            destination=destination,
            amount_minor=amount_minor,
            currency=currency,
            session=session,
        )

    async def unsent_transfers(self, *, limit: int = 100) -> Sequence[Transfer]:
        """What is owed to sellers and was not sent: what Stripe has refused first, with why.

        Raises:
            InvalidInputError: `limit` is not from 1 to 1000.
        """
        return await self.transfers.unsent(limit)

    async def retry_transfer(self, transfer_id: str) -> Transfer:
        """Let a transfer be tried at once; it is sent once all the same.

        Raises:
            NotFoundError: there is none of this id, or it was sent.
        """
        return await self.transfers.retry(transfer_id)
