"""Who is who: the piece of a host app that Gatekeeper does not have, as small as it can be.

A real app has its own accounts and passwords; here a name is enough.
"""

import secrets
from dataclasses import dataclass

import msgspec
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from gatekeeper import Gatekeeper

COOKIE = "session"


class SignUp(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Who signs up."""

    name: str
    email: str | None = None


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody who has signed up."""

    id: str
    name: str


class People:
    """Everybody who has signed up, and their sessions; it tells the gate who asks."""

    def __init__(self, gate: Gatekeeper) -> None:
        self._gate = gate
        self._sessions: dict[str, Customer] = {}  # a real app keeps these in its own database
        gate.identify(self.identify)

    def customer(self, connection: HTTPConnection) -> Customer | None:
        """Who makes a request, by the cookie of their session."""
        return self._sessions.get(connection.cookies.get(COOKIE, ""))

    def identify(self, connection: HTTPConnection) -> str | None:
        """As `customer`, for the gate."""
        customer = self.customer(connection)
        return None if customer is None else customer.id

    def routes(self) -> list[BaseRoute]:
        """`POST /sign-up {"name": "Ada"}` and `POST /sign-out`."""
        return [
            Route("/sign-up", self._sign_up, methods=["POST"]),
            Route("/sign-out", self._sign_out, methods=["POST"]),
        ]

    async def _sign_up(self, request: Request) -> Response:
        try:
            asked = msgspec.json.decode(await request.body(), type=SignUp)
        except msgspec.DecodeError as error:
            return JSONResponse({"detail": str(error)}, status_code=422)
        name = asked.name.strip()
        if not 1 <= len(name) <= 60 or not name.isprintable():
            return JSONResponse({"detail": "A name has 1 to 60 characters."}, status_code=422)
        customer = Customer(f"user-{secrets.token_hex(8)}", name)
        await self._gate.customers.ensure(customer.id, name=name, email=asked.email)
        token = secrets.token_urlsafe(32)
        self._sessions[token] = customer
        answer = JSONResponse({"name": name})
        answer.set_cookie(COOKIE, token, httponly=True, samesite="lax")
        return answer

    async def _sign_out(self, request: Request) -> Response:
        self._sessions.pop(request.cookies.get(COOKIE, ""), None)
        answer = JSONResponse({})
        answer.delete_cookie(COOKIE)
        return answer
