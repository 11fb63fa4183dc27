"""What is owed to sellers of what buyers have paid."""

from collections.abc import Sequence

from gatekeeper.gate.wired import Wired
from gatekeeper.services import transfers
from gatekeeper.storage.port import Transaction
from gatekeeper.storage.transfers import Transfer, TransferStatus


class TransferMethods(Wired):
    """Transfers that were not sent yet."""

    async def unsent_transfers(self, *, limit: int = 100) -> Sequence[Transfer]:
        """What is owed to sellers and was not sent: what Stripe has refused first, with why."""

        def work(tx: Transaction) -> Sequence[Transfer]:
            failed = tx.transfers.listed(TransferStatus.FAILED, limit)
            owed = tx.transfers.listed(TransferStatus.OWED, limit - len(failed))
            return [*failed, *owed]

        return await self._parts.store.read(work)

    async def retry_transfer(self, transfer_id: str) -> Transfer:
        """Let a transfer be tried at once; it is sent once all the same.

        Raises:
            NotFoundError: there is none of this id, or it was sent.
        """
        return await self._parts.store.write(lambda tx: transfers.retry(tx, transfer_id))
