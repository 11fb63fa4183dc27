"""A Stripe for a comparison: the simulator in a process of its own, and what happens there.

Run as `python -m benchmarks._simulated`, this is that process: it says where it is, then reads how
many customers shall subscribe, a line for each, and answers with a line: the customers and the file
of the events.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from gatekeeper.testing.stripe import Simulator
from gatekeeper.testing.stripe.server import ServerThread

MODULE: Final = "benchmarks._simulated"
KEY: Final = "sk_test_0123456789abcdefghijklmn"
"""In the form that dj-stripe insists on; there is nothing behind it."""

LOOKUP_KEY: Final = "pro_monthly"
KINDS: Final = ("customer.subscription.created", "customer.subscription.updated")


def main() -> None:
    """Be the process."""
    with ServerThread() as server, tempfile.TemporaryDirectory() as folder:
        simulator = server.mount(Simulator(seed=1, ticking=True, api_key=KEY))
        client: Any = simulator.client().v1
        price = client.prices.create(
            {
                "currency": "eur",
                "unit_amount": 999,
                "recurring": {"interval": "month"},
                "lookup_key": LOOKUP_KEY,
                "product_data": {"name": "Pro"},
            }
        )
        print(json.dumps({"url": simulator.url, "key": simulator.settings.api_key}), flush=True)
        for number, line in enumerate(sys.stdin):
            before = len(simulator.events())
            customers = [_subscriber(client, price.id) for _ in range(json.loads(line)["count"])]
            file = Path(folder) / f"events-{number}"
            events = [e for e in simulator.events()[before:] if e["type"] in KINDS]
            file.write_text(json.dumps(events))
            print(json.dumps({"customers": customers, "file": str(file)}), flush=True)


def _subscriber(client: Any, price_id: str) -> str:
    """A customer who subscribes, and changes their mind about how many."""
    customer = client.customers.create(
        {
            "email": "ada@example.com",
            "payment_method": "pm_card_visa",
            "invoice_settings": {"default_payment_method": "pm_card_visa"},
        }
    )
    subscription = client.subscriptions.create(
        {"customer": customer.id, "items": [{"price": price_id}]}
    )
    client.subscriptions.update(subscription.id, {"metadata": {"seen": "yes"}})
    found: str = customer.id
    return found


if __name__ == "__main__":
    main()
