"""The customer portal, and the 3-D Secure page of a bare payment intent."""

from html import escape
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gatekeeper.testing.stripe.billing import changes, payments, setups, subscriptions
from gatekeeper.testing.stripe.billing.methods import attach, new_method
from gatekeeper.testing.stripe.core.errors import ApiError, invalid
from gatekeeper.testing.stripe.core.money import money
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.pages.checkout import payer_from, question, read_form
from gatekeeper.testing.stripe.pages.html import alert, field, page
from gatekeeper.testing.stripe.pages.invoices import NOT_FOUND, day, found_by
from gatekeeper.testing.stripe.state import State


class PortalPages:
    """The pages of one simulator's customers.

    The portal's form fields: `action` (cancel, resume, change or card), `subscription`, for a
    change the `price`, and for a card the fields of the checkout page.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self.routes = [
            Route("/p/session/{session}", self.show, methods=["GET"]),
            Route("/p/session/{session}", self.act, methods=["POST"]),
            Route("/3ds/{intent}", self.ask, methods=["GET"]),
            Route("/3ds/{intent}", self.authenticate, methods=["POST"]),
        ]

    def _find(self, request: Request, kind: str, name: str) -> Obj | None:
        self._state.catch_up()
        return self._state.store.find(kind, request.path_params[name])

    async def show(self, request: Request) -> Response:
        """Subscriptions, invoices and the card."""
        with self._state.lock:
            session = self._find(request, "billing_portal.session", "session")
            if session is None:
                return page("Not found", NOT_FOUND, status=404)
            return self._portal(session)

    async def act(self, request: Request) -> Response:
        """Cancel at the end of the period, resume, change the plan, or change the card."""
        form = await read_form(request)
        with self._state.lock:
            session = self._find(request, "billing_portal.session", "session")
            if session is None:
                return page("Not found", NOT_FOUND, status=404)
            try:
                self._do(session["customer"], form)
            except ApiError as error:
                return self._portal(session, error)
            return RedirectResponse(request.url.path, 303)

    def _do(self, customer_id: str, form: dict[str, str]) -> None:
        state, action = self._state, form.get("action")
        customer = state.store.need("customer", customer_id)
        if action == "card":
            payer = payer_from(form)
            method = new_method(state, payer.instrument, expires=payer.expires)
            attach(state, method["id"], customer)
            with state.changing(customer, "customer.updated"):
                customer["invoice_settings"]["default_payment_method"] = method["id"]
            for subscription in self._subscriptions(customer_id):
                update = {"default_payment_method": method["id"]}
                changes.update(state, subscription, update)
            return
        wanted = form.get("subscription", "")
        subscription = state.store.need("subscription", wanted)
        known = ("cancel", "change", "resume")
        if subscription["customer"] != customer_id or action not in known:
            raise invalid("There is no such action.")
        if action == "change":
            self._change(subscription, form.get("price", ""))
            return
        changes.update(state, subscription, {"cancel_at_period_end": action == "cancel"})

    def _change(self, subscription: Obj, price: str) -> None:
        if price not in [one["id"] for one in self._offered(subscription)]:
            raise invalid("There is no such plan.", "price")
        (item,) = subscription["items"]["data"]
        changes.update(self._state, subscription, {"items": [{"id": item["id"], "price": price}]})

    def _offered(self, subscription: Obj) -> list[Obj]:
        """The prices that a subscription of one item can change to: at Stripe a portal
        configuration says which, here they are all that would do."""
        items, store = subscription["items"]["data"], self._state.store
        if len(items) != 1 or subscription["schedule"] is not None:
            return []
        now = items[0]["price"]
        return [
            price
            for price in reversed(store.where("price", active=True, currency=now["currency"]))
            if price["recurring"] is not None
            and price["recurring"]["usage_type"] == now["recurring"]["usage_type"] == "licensed"
            and price["id"] != now["id"]
            and store.get("product", price["product"])["active"]
        ]

    def _subscriptions(self, customer: str) -> list[Obj]:
        found = self._state.store.where("subscription", customer=customer)
        return [one for one in found if one["status"] not in subscriptions.ENDED]

    def _portal(self, session: Obj, error: ApiError | None = None) -> Response:
        cards = [self._subscription(one) for one in self._subscriptions(session["customer"])]
        rows = [
            f"<tr><td><a href='/i/{one['id']}'>{escape(one['number'] or 'Draft')}</a></td>"
            f"<td>{one['status']}</td><td>{money(one['total'], one['currency'])}</td></tr>"
            for one in self._state.store.where("invoice", customer=session["customer"])
        ]
        back = session["return_url"]
        link = f'<p><a id="return" href="{escape(back)}">Return</a></p>' if back else ""
        card = (
            f'<h2>Payment method</h2>{self._card(session["customer"])}<form method="post">'
            f"{field('card_number', 'Card number', hint='4242 4242 4242 4242')}"
            f"{field('card_expiry', 'Expiry', hint='MM / YY')}{field('card_cvc', 'CVC')}"
            '<button type="submit" name="action" value="card">Use this card</button></form>'
        )
        first = f"<h1>Your billing</h1>{alert(error)}{''.join(cards)}{link}"
        invoices = f"<h2>Invoices</h2><table>{''.join(rows)}</table>"
        status = error.status if error is not None else 200
        return page("Your billing", first, card, invoices, status=status)

    def _card(self, customer_id: str) -> str:
        customer = self._state.store.get("customer", customer_id)
        default = customer["invoice_settings"]["default_payment_method"]
        method = self._state.store.find("payment_method", default)
        if method is None:
            return ""
        kind = method["card"]["brand"] if method["type"] == "card" else "SEPA"
        own = method[method["type"]]["last4"]
        return f"<p class='soft'>{escape(kind.capitalize())} ending in {escape(own)}</p>"

    def _subscription(self, subscription: Obj) -> str:
        store, period = self._state.store, subscriptions.period_of(subscription)
        names = ", ".join(
            escape(store.get("product", item["price"]["product"])["name"])
            for item in subscription["items"]["data"]
        )
        ending = subscription["cancel_at_period_end"]
        action, label = ("resume", "Do not cancel") if ending else ("cancel", "Cancel plan")
        when = f"{'Ends' if ending else 'Renews'} on {day(period.end)}"
        options = "".join(self._option(price) for price in self._offered(subscription))
        plans = (
            f'<label for="price_{subscription["id"]}">Another plan</label>'
            f'<select id="price_{subscription["id"]}" name="price">{options}'
            '</select><button class="quiet" type="submit" name="action" value="change">Change plan'
            "</button>"
            if options
            else ""
        )
        return (
            f"<h2>{names}</h2><p class='soft'>{subscription['status'].capitalize()}. {when}</p>"
            f'<form method="post"><input type="hidden" name="subscription"'
            f' value="{subscription["id"]}"><button class="quiet" type="submit" name="action"'
            f' value="{action}">{label}</button>{plans}</form>'
        )

    def _option(self, price: Obj) -> str:
        name = escape(self._state.store.get("product", price["product"])["name"])
        each = money(price["unit_amount"] or 0, price["currency"])
        every = price["recurring"]["interval"]
        return f'<option value="{price["id"]}">{name} ({each} / {every})</option>'

    async def ask(self, request: Request) -> Response:
        """The bank's question about a payment or setup intent."""
        with self._state.lock:
            found = self._asking(request)
            if found is None:
                return page("Not found", NOT_FOUND, status=404)
            intent = found[1]
            amount = money(intent.get("amount", 0), intent.get("currency", "eur"))
            return page("3-D Secure", question(amount, f"/3ds/{intent['id']}"))

    async def authenticate(self, request: Request) -> Response:
        """The answer to it; the browser goes on to the intent's return_url, if it has one."""
        form = await read_form(request)
        with self._state.lock:
            found = self._asking(request)
            if found is None:
                return page("Not found", NOT_FOUND, status=404)
            state, intent = found
            back = (intent["next_action"].get("redirect_to_url") or {}).get("return_url")
            act = setups if intent["object"] == setups.KIND else payments
            act.authenticate(state, intent, form.get("outcome") == "complete")
            status = intent["status"]
            if back is None:
                return page("3-D Secure", f"<h1>Done</h1><p>It is now: {status}</p>")
            return RedirectResponse(returned_to(back, intent), 303)

    def _asking(self, request: Request) -> tuple[State, Obj] | None:
        self._state.catch_up()
        kinds = ("payment_intent", setups.KIND)
        found = found_by(self._state, *kinds, identifier=request.path_params["intent"])
        return found if found is not None and found[1]["status"] == "requires_action" else None


def returned_to(back: str, intent: Obj) -> str:
    """The host's address with what Stripe adds: the intent, its client secret, and whether it
    "succeeded", is "pending" or "failed"."""
    kind = intent["object"]
    words = {"succeeded": "succeeded", "requires_capture": "succeeded", "processing": "pending"}
    query = {
        kind: intent["id"],
        f"{kind}_client_secret": intent["client_secret"],
        "redirect_status": words.get(intent["status"], "failed"),
    }
    return f"{back}{'&' if '?' in back else '?'}{urlencode(query)}"
