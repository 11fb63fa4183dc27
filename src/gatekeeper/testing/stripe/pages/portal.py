"""The customer portal, the hosted invoice, and the 3-D Secure page of a bare payment intent."""

from datetime import UTC, datetime
from html import escape

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
from gatekeeper.testing.stripe.state import State

_NOT_FOUND = "<h1>Not found</h1><p>There is no such page.</p>"


def _day(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%d %B %Y")


class PortalPages:
    """The pages of one simulator's customers.

    The portal's form fields: `action` (cancel, resume or card), `subscription`, and for a card the
    fields of the checkout page.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self.routes = [
            Route("/p/session/{session}", self.show, methods=["GET"]),
            Route("/p/session/{session}", self.act, methods=["POST"]),
            Route("/i/{invoice}", self.invoice, methods=["GET"]),
            Route("/receipts/{charge}", self.receipt, methods=["GET"]),
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
                return page("Not found", _NOT_FOUND, status=404)
            return self._portal(session)

    async def act(self, request: Request) -> Response:
        """Cancel at the end of the period, resume, or change the card."""
        form = await read_form(request)
        with self._state.lock:
            session = self._find(request, "billing_portal.session", "session")
            if session is None:
                return page("Not found", _NOT_FOUND, status=404)
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
        if subscription["customer"] != customer_id or action not in ("cancel", "resume"):
            raise invalid("There is no such action.")
        changes.update(state, subscription, {"cancel_at_period_end": action == "cancel"})

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
            f'<h2>Payment method</h2><form method="post">'
            f"{field('card_number', 'Card number', hint='4242 4242 4242 4242')}"
            f"{field('card_expiry', 'Expiry', hint='MM / YY')}{field('card_cvc', 'CVC')}"
            '<button type="submit" name="action" value="card">Use this card</button></form>'
        )
        first = f"<h1>Your billing</h1>{alert(error)}{''.join(cards)}{link}"
        invoices = f"<h2>Invoices</h2><table>{''.join(rows)}</table>"
        status = error.status if error is not None else 200
        return page("Your billing", first, card, invoices, status=status)

    def _subscription(self, subscription: Obj) -> str:
        store, period = self._state.store, subscriptions.period_of(subscription)
        names = ", ".join(
            escape(store.get("product", item["price"]["product"])["name"])
            for item in subscription["items"]["data"]
        )
        ending = subscription["cancel_at_period_end"]
        action, label = ("resume", "Do not cancel") if ending else ("cancel", "Cancel plan")
        when = f"{'Ends' if ending else 'Renews'} on {_day(period.end)}"
        return (
            f"<h2>{names}</h2><p class='soft'>{subscription['status'].capitalize()}. {when}</p>"
            f'<form method="post"><input type="hidden" name="subscription"'
            f' value="{subscription["id"]}"><button class="quiet" type="submit" name="action"'
            f' value="{action}">{label}</button></form>'
        )

    async def invoice(self, request: Request) -> Response:
        """A hosted invoice, to read."""
        with self._state.lock:
            invoice = self._find(request, "invoice", "invoice")
            if invoice is None:
                return page("Not found", _NOT_FOUND, status=404)
            rows = [
                f"<tr><td>{escape(line['description'])}</td>"
                f"<td>{money(line['amount'], line['currency'])}</td></tr>"
                for line in invoice["lines"]["data"]
            ]
            total = money(invoice["total"], invoice["currency"])
            head = f"<h1>Invoice {escape(invoice['number'] or '')}</h1><p>{invoice['status']}</p>"
            return page(
                "Invoice", f"{head}<p class='total'>{total}</p><table>{''.join(rows)}</table>"
            )

    async def receipt(self, request: Request) -> Response:
        """A charge's receipt, to read."""
        with self._state.lock:
            seen = [
                state.store.find("charge", request.path_params["charge"])
                for state in self._state.seen()
            ]
            charge = next((one for one in seen if one is not None and one["paid"]), None)
            if charge is None:
                return page("Not found", _NOT_FOUND, status=404)
            paid = money(charge["amount_captured"], charge["currency"])
            back = charge["amount_refunded"]
            rest = f"<p>Refunded: {money(back, charge['currency'])}</p>" if back else ""
            what = escape(charge["description"] or "")
            when = _day(charge["created"])
            head = f"<h1>Receipt from {escape(self._state.settings.account_name)}</h1>"
            return page(
                "Receipt", f"{head}<p class='total'>{paid}</p><p>{when}</p><p>{what}</p>{rest}"
            )

    async def ask(self, request: Request) -> Response:
        """The bank's question about a payment or setup intent."""
        with self._state.lock:
            intent = self._asking(request)
            if intent is None:
                return page("Not found", _NOT_FOUND, status=404)
            amount = money(intent.get("amount", 0), intent.get("currency", "eur"))
            return page("3-D Secure", question(amount, f"/3ds/{intent['id']}"))

    async def authenticate(self, request: Request) -> Response:
        """The answer to it; the browser goes on to the intent's return_url, if it has one."""
        form = await read_form(request)
        with self._state.lock:
            intent = self._asking(request)
            if intent is None:
                return page("Not found", _NOT_FOUND, status=404)
            back = (intent["next_action"].get("redirect_to_url") or {}).get("return_url")
            act = setups if intent["object"] == setups.KIND else payments
            act.authenticate(self._state, intent, form.get("outcome") == "complete")
            status = intent["status"]
            if back is None:
                return page("3-D Secure", f"<h1>Done</h1><p>It is now: {status}</p>")
            join = "&" if "?" in back else "?"
            query = f"{intent['object']}={intent['id']}&redirect_status={status}"
            return RedirectResponse(f"{back}{join}{query}", 303)

    def _asking(self, request: Request) -> Obj | None:
        found = self._find(request, "payment_intent", "intent")
        found = found or self._find(request, setups.KIND, "intent")
        return found if found is not None and found["status"] == "requires_action" else None
