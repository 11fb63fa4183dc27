"""The app: people sign up, chat, and meet a 402 when their credits are spent.

Everything that has to do with money is in three places: `install`, `@gate.consumes_credits` and
`@gate.requires_feature`.
"""

import secrets
from pathlib import Path

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection

import gatekeeper_fastapi
from gatekeeper import Gatekeeper, current
from gatekeeper.testing.stripe import Simulator

COOKIE = "session"
PAGE = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")


class Person(BaseModel):
    """Who signs up."""

    name: str = Field(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f]+$")


class Question(BaseModel):
    """What somebody asks."""

    text: str = Field(min_length=1, max_length=2_000)


class Answer(BaseModel):
    """What the model says."""

    text: str


def create_app(gate: Gatekeeper, simulator: Simulator | None = None) -> FastAPI:
    """The host app on a gate. With a simulator, the page has a button that moves its clock."""
    app = FastAPI(title="AI chat", lifespan=gate.lifespan)
    billing = gatekeeper_fastapi.install(
        app, gate, success_url="/?checkout={PURCHASE_ID}", cancel_url="/"
    )
    sessions: dict[str, str] = {}  # a real app keeps these in its own database
    conversations: dict[str, list[str]] = {}

    @gate.identify
    async def signed_in(connection: HTTPConnection) -> str | None:
        return sessions.get(connection.cookies.get(COOKIE, ""))

    @app.get("/", response_class=HTMLResponse)
    async def page() -> str:
        return PAGE

    @app.post("/sign-up")
    async def sign_up(person: Person, response: Response) -> Person:
        customer = f"user-{secrets.token_hex(8)}"
        await gate.customers.ensure(customer, name=person.name)
        token = secrets.token_urlsafe(32)
        sessions[token] = customer
        response.set_cookie(COOKIE, token, httponly=True, samesite="lax")
        return person

    @app.post("/chat")
    @gate.consumes_credits("message")
    async def chat(question: Question) -> Answer:
        who = await current().identity()
        text = f"You said: {question.text}"  # a real app asks its model here
        conversations.setdefault(who.customer, []).append(question.text)
        return Answer(text=text)

    @app.get("/history", dependencies=[billing.requires_feature("history")])
    async def history() -> list[str]:
        who = await current().identity()
        return conversations.get(who.customer, [])

    @app.get("/clock")
    async def clock() -> dict[str, str | None]:
        return {"now": None if simulator is None else simulator.now.date().isoformat()}

    if simulator is not None:

        @app.post("/clock")
        async def next_month() -> dict[str, str | None]:
            await simulator.play(days=31)
            return await clock()

    return app
