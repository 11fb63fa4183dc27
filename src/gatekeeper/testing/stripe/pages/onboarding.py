"""Where sellers say who they are, and their own dashboard: each one page."""

from html import escape

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gatekeeper.testing.stripe.api.balance import amounts
from gatekeeper.testing.stripe.api.onboarding import KIND
from gatekeeper.testing.stripe.billing import accounts
from gatekeeper.testing.stripe.core.money import money
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.pages.checkout import read_form
from gatekeeper.testing.stripe.pages.html import page
from gatekeeper.testing.stripe.state import State

_NOT_FOUND = "<h1>Not found</h1><p>There is no such page.</p>"


class OnboardingPages:
    """The pages of one simulator's connected accounts. The onboarding's form has one field:
    `action` (submit or leave)."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.routes = [
            Route("/setup/e/{link}", self.show, methods=["GET"]),
            Route("/setup/e/{link}", self.act, methods=["POST"]),
            Route("/express/{account}", self.dashboard, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """What is asked of the seller; a link that is used or over leads to where another is."""
        with self._state.lock:
            link = self._link(request)
            if link is None:
                return page("Not found", _NOT_FOUND, status=404)
            if (again := self._over(link)) is not None:
                return again
            account = self._asked(link)["account"]
            return page(
                "Get paid",
                "<h1>Get paid</h1><p>Here Stripe asks who you are, and where your money is to go."
                f' The simulator asks nothing.</p><p class="soft">Account <code>{escape(account)}'
                "</code></p>"
                '<form method="post"><button name="action" value="submit">Submit</button>'
                '<button class="quiet" name="action" value="leave">Later</button></form>',
            )

    async def act(self, request: Request) -> Response:
        """All that was asked for is said, or nothing is; then back to the platform."""
        form = await read_form(request)
        with self._state.lock:
            link = self._link(request)
            if link is None:
                return page("Not found", _NOT_FOUND, status=404)
            if (again := self._over(link)) is not None:
                return again
            asked = self._asked(link)
            asked["used"] = True
            if form.get("action") == "submit":
                accounts.onboard(self._state, asked["account"])
            return RedirectResponse(asked["return_url"], 303)

    async def dashboard(self, request: Request) -> Response:
        """What the account has."""
        with self._state.lock:
            self._state.catch_up()
            account = self._state.store.find("account", request.path_params["account"])
            if account is None:
                return page("Not found", _NOT_FOUND, status=404)
            seen = self._state.of(account["id"])
            rows = "".join(
                f"<tr><td>{status}</td><td>{money(one['amount'], one['currency'])}</td></tr>"
                for status in ("available", "pending")
                for one in amounts(seen, status)
            )
            return page("Your money", f"<h1>Your money</h1><table>{rows}</table>")

    def _link(self, request: Request) -> Obj | None:
        self._state.catch_up()
        return self._state.store.find(KIND, request.path_params["link"])

    def _asked(self, link: Obj) -> Obj:
        return self._state.store.hidden(link)

    def _over(self, link: Obj) -> Response | None:
        asked = self._asked(link)
        if not asked["used"] and self._state.now() < link["expires_at"]:
            return None
        return RedirectResponse(asked["refresh_url"], 303)
