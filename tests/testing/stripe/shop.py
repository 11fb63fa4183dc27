"""What the tests sell, and to whom."""

from typing import Any

SUCCESS = "http://host.test/welcome?session={CHECKOUT_SESSION_ID}"
CANCEL = "http://host.test/pricing"


def new_price(client: Any, **changes: Any) -> Any:
    terms: dict[str, Any] = {
        "currency": "eur",
        "unit_amount": 999,
        "recurring": {"interval": "month"},
        "product_data": {"name": "Pro"},
    }
    terms |= changes
    return client.v1.prices.create({k: v for k, v in terms.items() if v is not None})


def new_payer(client: Any, card: str = "pm_card_visa") -> Any:
    return client.v1.customers.create(
        {
            "email": "ada@example.com",
            "payment_method": card,
            "invoice_settings": {"default_payment_method": card},
        }
    )


def subscribe(client: Any, card: str = "pm_card_visa", **params: Any) -> Any:
    customer = new_payer(client, card)
    price = params.pop("price", None) or new_price(client).id
    items = params.pop("items", None) or [{"price": price}]
    return client.v1.subscriptions.create({"customer": customer.id, "items": items, **params})


def new_session(client: Any, **params: Any) -> Any:
    subscribing = params.get("mode", "subscription") == "subscription"
    if "line_items" not in params:
        price = new_price(client) if subscribing else new_price(client, recurring=None)
        params["line_items"] = [{"price": price.id, "quantity": 1}]
    terms = {"mode": "subscription", "success_url": SUCCESS, "cancel_url": CANCEL, **params}
    given = {key: value for key, value in terms.items() if value is not None}
    return client.v1.checkout.sessions.create(given)
