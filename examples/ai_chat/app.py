"""The app: people sign up, chat, and meet a 402 when their credits are spent.

Everything that has to do with money is in three places: `install`, `@gate.consumes_credits` and
`requires_feature`.
"""

import secrets
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

import gatekeeper_fastapi
from examples.stage import People, Stage
from gatekeeper import Gatekeeper, current
from gatekeeper.asgi import BillingOptions

PAGE = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")


class Question(BaseModel):
    """What somebody asks."""

    text: str = Field(min_length=1, max_length=2_000)


class Answer(BaseModel):
    """What the model says."""

    text: str


def create_app(gate: Gatekeeper, stage: Stage) -> FastAPI:
    """The host app on a gate."""
    people = People(gate)
    app = FastAPI(
        title="AI chat", lifespan=gate.lifespan, routes=[*people.routes(), *stage.routes()]
    )
    billing = gatekeeper_fastapi.install(
        app, gate, options=BillingOptions(success_url="/?checkout={PURCHASE_ID}")
    )
    conversations: dict[str, list[str]] = {}

    @app.get("/", response_class=HTMLResponse)
    async def page() -> HTMLResponse:
        nonce = secrets.token_urlsafe(16)
        return HTMLResponse(PAGE.replace("{{ nonce }}", nonce), headers=stage.page_headers(nonce))

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

    return app
