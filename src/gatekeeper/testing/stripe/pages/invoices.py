"""What Stripe shows of an invoice and of a payment: the hosted invoice (to read, and to pay while
it is open), its PDF, and receipts."""

from datetime import UTC, datetime
from html import escape

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gatekeeper.testing.stripe.billing import invoices
from gatekeeper.testing.stripe.billing.methods import new_method
from gatekeeper.testing.stripe.core.errors import ApiError
from gatekeeper.testing.stripe.core.money import money
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.pages.checkout import card_fields, payer_from, read_form
from gatekeeper.testing.stripe.pages.html import alert, page
from gatekeeper.testing.stripe.pages.pdf import pdf
from gatekeeper.testing.stripe.state import State

NOT_FOUND = "<h1>Not found</h1><p>There is no such page.</p>"


def day(second: int) -> str:
    """As people write it: 01 December 2026."""
    return datetime.fromtimestamp(second, UTC).strftime("%d %B %Y")


def found_by(platform: State, *kinds: str, identifier: str) -> tuple[State, Obj] | None:
    """An object of one of these kinds, of the platform or of whichever account has it."""
    for state in platform.seen():
        for kind in kinds:
            if (found := state.store.find(kind, identifier)) is not None:
                return state, found
    return None


class InvoicePages:
    """The invoices and receipts of one simulator. An open invoice's form has the card's fields of
    the checkout page."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.routes = [
            Route("/i/{invoice}", self.show, methods=["GET"]),
            Route("/i/{invoice}", self.pay, methods=["POST"]),
            Route("/i/{invoice}/pdf", self.file, methods=["GET"]),
            Route("/receipts/{charge}", self.receipt, methods=["GET"]),
        ]

    def _find(self, request: Request) -> tuple[State, Obj] | None:
        self._state.catch_up()
        return found_by(self._state, "invoice", identifier=request.path_params["invoice"])

    async def show(self, request: Request) -> Response:
        """The invoice."""
        with self._state.lock:
            found = self._find(request)
            if found is None:
                return page("Not found", NOT_FOUND, status=404)
            return _shown(found[1])

    async def pay(self, request: Request) -> Response:
        """Pay it with a card."""
        form = await read_form(request)
        with self._state.lock:
            found = self._find(request)
            if found is None:
                return page("Not found", NOT_FOUND, status=404)
            state, invoice = found
            try:
                there = _pay(state, invoice, form)
            except ApiError as error:
                return _shown(invoice, form, error)
            return RedirectResponse(there, 303)

    async def file(self, request: Request) -> Response:
        """The invoice as a PDF."""
        with self._state.lock:
            found = self._find(request)
            if found is None:
                return page("Not found", NOT_FOUND, status=404)
            body = pdf(_text(found[1], self._state.settings.account_name))
        name = f"{found[1]['number'] or found[1]['id']}.pdf"
        headers = {"content-disposition": f'attachment; filename="Invoice-{name}"'}
        return Response(body, media_type="application/pdf", headers=headers)

    async def receipt(self, request: Request) -> Response:
        """A charge's receipt."""
        with self._state.lock:
            found = found_by(self._state, "charge", identifier=request.path_params["charge"])
            if found is None or not found[1]["paid"]:
                return page("Not found", NOT_FOUND, status=404)
            charge = found[1]
            paid = money(charge["amount_captured"], charge["currency"])
            back = charge["amount_refunded"]
            rest = f"<p>Refunded: {money(back, charge['currency'])}</p>" if back else ""
            what = escape(charge["description"] or "")
            head = f"<h1>Receipt from {escape(self._state.settings.account_name)}</h1>"
            words = f"<p class='total'>{paid}</p><p>{day(charge['created'])}</p><p>{what}</p>"
            return page("Receipt", f"{head}{words}{rest}")


def _pay(state: State, invoice: Obj, form: dict[str, str]) -> str:
    """Try to; where the browser goes next."""
    here = f"/i/{invoice['id']}"
    if invoice["status"] != "open":
        return here
    payer = payer_from(form)
    method = new_method(state, payer.instrument, expires=payer.expires)
    back = f"{state.base_url}{here}"
    refusal = invoices.collect(state, invoice, method, off_session=False, return_url=back)
    if refusal is not None:
        raise refusal
    intent = invoices.intent_of(state, invoice)
    asks = intent is not None and intent["status"] == "requires_action"
    return f"/3ds/{intent['id']}" if intent is not None and asks else here


def _shown(
    invoice: Obj, form: dict[str, str] | None = None, error: ApiError | None = None
) -> Response:
    rows = [
        f"<tr><td>{escape(line['description'])}</td>"
        f"<td>{money(line['amount'], line['currency'])}</td></tr>"
        for line in invoice["lines"]["data"]
    ]
    currency = invoice["currency"]
    off = sum(one["amount"] for one in invoice["total_discount_amounts"])
    if off:
        rows.append(f"<tr><td>Discount</td><td>{money(-off, currency)}</td></tr>")
    head = f"<h1>Invoice {escape(invoice['number'] or '')}</h1><p>{invoice['status']}</p>"
    total = f"<p class='total'>{money(invoice['total'], currency)}</p>"
    file = f"<p><a href='/i/{invoice['id']}/pdf'>Download as a PDF</a></p>"
    sections = [f"{head}{total}<table>{''.join(rows)}</table>{file}"]
    if invoice["status"] == "open":
        sections.append(
            f'<h2>Pay this invoice</h2>{alert(error)}<form method="post">{card_fields(form or {})}'
            '<button type="submit" id="submit">Pay</button></form>'
        )
    return page("Invoice", *sections, status=error.status if error is not None else 200)


def _text(invoice: Obj, seller: str) -> list[str]:
    currency = invoice["currency"]
    off = sum(one["amount"] for one in invoice["total_discount_amounts"])
    return [
        f"{seller}: invoice {invoice['number'] or '(draft)'}",
        f"{day(invoice['created'])}, {invoice['status']}",
        f"To: {invoice['customer_name'] or invoice['customer_email'] or invoice['customer']}",
        "",
        *(
            f"{line['description']}: {money(line['amount'], line['currency'])}"
            for line in invoice["lines"]["data"]
        ),
        *([f"Discount: {money(-off, currency)}"] if off else []),
        "",
        f"Total: {money(invoice['total'], currency)}",
    ]
