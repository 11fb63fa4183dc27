"""The hosted checkout page and its 3-D Secure step.

A form of plain HTML: `email`, `name`, `country`, `method` (card or sepa_debit), `card_number`,
`card_expiry` (MM / YY), `card_cvc`, `iban`; where the session allows promotion codes,
`promotion_code` too, which `action=apply` tries without paying. A decline shows the page again with
status 402; success redirects (303) to the session's success_url.
"""

from html import escape
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gatekeeper.testing.stripe.api.payment_methods import instrument_of
from gatekeeper.testing.stripe.billing import baskets, checkout
from gatekeeper.testing.stripe.core.errors import ApiError, invalid
from gatekeeper.testing.stripe.core.money import money
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.pages.html import alert, field, page
from gatekeeper.testing.stripe.state import State

MAX_FORM_BYTES = 64 * 1024

_TEST_CARDS = (
    ("4242 4242 4242 4242", "succeeds"),
    ("4000 0000 0000 0002", "is declined"),
    ("4000 0000 0000 9995", "has insufficient funds"),
    ("4000 0025 0000 3155", "asks for 3-D Secure"),
    ("4000 0000 0000 0341", "succeeds in a trial, fails at its first charge"),
)


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a posted form; too much of it is a 413."""
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > MAX_FORM_BYTES:
            raise ApiError(413, "The form is too large.")
    return dict(parse_qsl(received.decode("utf-8", "replace"), keep_blank_values=True))


def payer_from(form: dict[str, str]) -> checkout.Payer:
    """What the form says; an ApiError names what is wrong with it."""
    if form.get("method") == "sepa_debit":
        instrument, expires = instrument_of(None, form.get("iban", "")), None
    else:
        number = form.get("card_number", "").strip()
        if not number:
            raise invalid("Your card number is incomplete.", "card_number")
        instrument, expires = instrument_of(number, None), _expiry(form.get("card_expiry", ""))
        cvc = form.get("card_cvc", "").strip()
        if not (cvc.isdigit() and len(cvc) in (3, 4)):
            raise invalid("Your card's security code is incomplete.", "card_cvc")
    return checkout.Payer(
        instrument,
        email=form.get("email", "").strip() or None,
        name=form.get("name", "").strip() or None,
        country=form.get("country", "").strip().upper() or None,
        expires=expires,
    )


def _expiry(text: str) -> tuple[int, int]:
    month, _, year = text.replace(" ", "").partition("/")
    if not (month.isdigit() and year.isdigit() and 1 <= int(month) <= 12 and len(year) in (2, 4)):
        raise invalid("Your card's expiration date is incomplete.", "card_expiry")
    return int(month), int(year) if len(year) == 4 else 2_000 + int(year)


def success_url(session: Obj) -> str:
    """Where the customer goes: `{CHECKOUT_SESSION_ID}` in the address is the session's id."""
    there = session["success_url"] or session.get("return_url")
    return str(there).replace("{CHECKOUT_SESSION_ID}", session["id"])


class CheckoutPages:
    """The pages of the sessions of one simulator."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.routes = [
            Route("/c/pay/{session}", self.show, methods=["GET"]),
            Route("/c/pay/{session}", self.pay, methods=["POST"]),
            Route("/c/pay/{session}/authenticate", self.ask, methods=["GET"]),
            Route("/c/pay/{session}/authenticate", self.authenticate, methods=["POST"]),
        ]

    def _session(self, request: Request) -> Obj | None:
        self._state.catch_up()
        return self._state.store.find("checkout.session", request.path_params["session"])

    async def show(self, request: Request) -> Response:
        """The page, or what has become of the session."""
        with self._state.lock:
            session = self._session(request)
            if session is None or session["status"] != "open":
                return _closed(session)
            return self._page(session, {})

    async def pay(self, request: Request) -> Response:
        """The button."""
        form = await read_form(request)
        with self._state.lock:
            session = self._session(request)
            if session is None or session["status"] != "open":
                return _closed(session)
            try:
                self._reduce(session, form)
                if form.get("action") == "apply":
                    return self._page(session, form)
                outcome = checkout.submit(self._state, session, payer_from(form))
            except ApiError as error:
                return self._page(session, form, error)
            if outcome == "requires_action":
                return RedirectResponse(f"/c/pay/{session['id']}/authenticate", 303)
            return RedirectResponse(success_url(session), 303)

    def _reduce(self, session: Obj, form: dict[str, str]) -> None:
        """Take the typed promotion code, or none any more."""
        if not session["allow_promotion_codes"] or "promotion_code" not in form:
            return
        baskets.reduce(self._state, session, [])
        if code := form["promotion_code"].strip():
            due = checkout.due_now(self._state, session)
            baskets.enter(self._state, session, code, due)

    async def ask(self, request: Request) -> Response:
        """The bank's question."""
        with self._state.lock:
            session = self._session(request)
            if session is None or session["status"] != "open":
                return _closed(session)
            amount = _amount(session, session["amount_total"])
            return page("3-D Secure", question(amount, f"/c/pay/{session['id']}/authenticate"))

    async def authenticate(self, request: Request) -> Response:
        """The answer to it."""
        form = await read_form(request)
        with self._state.lock:
            session = self._session(request)
            if session is None or session["status"] != "open":
                return _closed(session)
            try:
                success = form.get("outcome") == "complete"
                checkout.authenticate(self._state, session, success)
            except ApiError as error:
                return self._page(session, {}, error)
            return RedirectResponse(success_url(session), 303)

    def _page(self, session: Obj, form: dict[str, str], error: ApiError | None = None) -> Response:
        status = error.status if error is not None else 200
        name = self._state.settings.account_name
        summary = self._summary(session)
        return page(f"Pay {name}", summary, self._form(session, form, error), status=status)

    def _summary(self, session: Obj) -> str:
        rows = []
        for row in self._state.store.hidden(session)["line_items"]:
            recurring = row["price"]["recurring"]
            every = f" / {recurring['interval']}" if recurring else ""
            count = (
                f"<br><span class='soft'>Qty {row['quantity']}</span>" if row["quantity"] else ""
            )
            amount = money(row["amount_subtotal"], row["currency"])
            rows.append(f"<tr><td>{escape(row['description'])}{count}</td><td>{amount}{every}</td>")
        off = session["total_details"]["amount_discount"]
        if off:
            amount = _amount(session, -off)
            word = escape(self._discount(session))
            rows.append(f"<tr><td>{word}</td><td id='discount'>{amount}</td></tr>")
        total = _amount(session, checkout.due_now(self._state, session))
        back = session["cancel_url"]
        cancel = (
            f'<p><a id="cancel" href="{escape(back)}">Cancel and go back</a></p>' if back else ""
        )
        name = escape(self._state.settings.account_name)
        return (
            f"<h1>{name}</h1><p class='soft'>Due today</p><p class='total' id='total'>{total}</p>"
            f"<table>{''.join(rows)}</table>{_code_form(session)}{cancel}"
        )

    def _discount(self, session: Obj) -> str:
        (one,) = session["discounts"]
        code = self._state.store.find("promotion_code", one["promotion_code"])
        coupon = self._state.store.find("coupon", one["coupon"]) or {}
        name = code["code"] if code is not None else coupon.get("name")
        return f"Discount ({name})" if name else "Discount"

    def _form(self, session: Obj, form: dict[str, str], error: ApiError | None) -> str:
        known = session["customer"]
        customer = self._state.store.find("customer", known) if known else None
        email = form.get("email") or session["customer_email"] or (customer or {}).get("email")
        debit = form.get("method") == "sepa_debit"
        verb = {"setup": "Save", "subscription": "Subscribe"}.get(session["mode"], "Pay")
        types = session["payment_method_types"]
        parts = [f'<h2>Payment details</h2>{alert(error)}<form method="post">']
        parts.append(field("email", "Email", email or "", type="email"))
        if "card" in types:
            parts.append(_choice("card", "Card", not debit) if len(types) > 1 else "")
            parts.append(card_fields(form))
        if "sepa_debit" in types:
            parts.append(_choice("sepa_debit", "Bank debit (SEPA)", debit or "card" not in types))
            hint = "DE89 3704 0044 0532 0130 00"
            parts.append(field("iban", "IBAN", form.get("iban", ""), hint=hint))
        parts.append(f'<button type="submit" id="submit">{verb}</button></form>')
        tips = "".join(f"<li><code>{number}</code> {what}</li>" for number, what in _TEST_CARDS)
        parts.append(
            "<details><summary>Test cards</summary><p class='soft'>Any future date, any code.</p>"
            f"<ul>{tips}</ul><p class='soft'>IBAN DE89 3704 0044 0532 0130 00 succeeds some minutes"
            " later, DE62 3704 0044 0532 0130 01 fails.</p></details>"
        )
        return "".join(parts)


def _amount(session: Obj, amount: int | None) -> str:
    """In a session that only sets a payment method up there may be no currency."""
    return money(amount or 0, session["currency"] or "eur")


def _code_form(session: Obj) -> str:
    """A form of its own, so that the return key in the other one pays."""
    if not session["allow_promotion_codes"]:
        return ""
    return (
        f'<form method="post">{field("promotion_code", "Promotion code")}'
        '<button type="submit" name="action" value="apply" id="apply" class="quiet">Apply</button>'
        "</form>"
    )


def _choice(value: str, label: str, checked: bool) -> str:
    mark = " checked" if checked else ""
    return (
        f'<div class="choice"><input type="radio" name="method" id="method_{value}"'
        f' value="{value}"{mark}><label for="method_{value}">{label}</label></div>'
    )


def card_fields(form: dict[str, str]) -> str:
    """What is typed of a card."""
    number = field(
        "card_number",
        "Card number",
        form.get("card_number", ""),
        hint="4242 4242 4242 4242",
        mode="numeric",
    )
    expiry = field("card_expiry", "Expiry", form.get("card_expiry", ""), hint="MM / YY")
    cvc = field("card_cvc", "CVC", hint="123", mode="numeric")
    return (
        f'{number}<div class="pair"><div>{expiry}</div><div>{cvc}</div></div>'
        f"{field('name', 'Name on card', form.get('name', ''))}"
        f"{field('country', 'Country (two letters)', form.get('country', ''), hint='IE')}"
    )


def question(amount: str, action: str) -> str:
    """The bank's page: may this payment be made? The form's field is `outcome`."""
    return (
        "<h1>3-D Secure</h1><p>Your bank asks you to confirm a payment of"
        f" <strong>{amount}</strong>.</p>"
        f'<form method="post" action="{escape(action)}">'
        '<button type="submit" name="outcome" value="complete" id="complete">Complete</button>'
        '<button type="submit" name="outcome" value="fail" id="fail" class="quiet">Fail</button>'
        "</form>"
    )


def _closed(session: Obj | None) -> Response:
    if session is None:
        return page("Not found", "<h1>Not found</h1><p>There is no such page.</p>", status=404)
    if session["status"] == "complete":
        text = "<h1>All done</h1><p class='good'>This checkout has been completed.</p>"
        link = f'<p><a href="{escape(success_url(session))}">Continue</a></p>'
        return page("Completed", text + link)
    back = session["cancel_url"]
    link = f'<p><a href="{escape(back)}">Go back</a></p>' if back else ""
    return page("Expired", f"<h1>Expired</h1><p>This checkout has expired.</p>{link}", status=410)
