"""The app: people mix four tracks, and go Pro to export, master, download and save.

Everything that has to do with money is in three places: `install`, `@gate.consumes` and
`requires_feature`. The page subscribes by the billing routes alone.
"""

import secrets
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, Field

import gatekeeper_fastapi
from examples.music_mixer.studio import TRACKS, render
from examples.stage import People, Stage
from gatekeeper import Gatekeeper, current
from gatekeeper.asgi import BillingOptions
from gatekeeper_fastapi import Billing

PAGE = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
MAX_FILES, MAX_PROJECTS = 100, 20

Level = Annotated[int, Field(ge=0, le=100)]


class Mix(BaseModel):
    """The levels of the tracks."""

    drums: Level = 80
    bass: Level = 70
    keys: Level = 50
    voice: Level = 60


class Project(BaseModel):
    """A mix with a name."""

    name: str = Field(min_length=1, max_length=40)
    mix: Mix


class Made(BaseModel):
    """A file that was made, to be downloaded as `/files/{file}`."""

    file: str


assert set(Mix.model_fields) == set(TRACKS)


def create_app(gate: Gatekeeper, stage: Stage) -> FastAPI:
    """The host app on a gate."""
    people = People(gate)
    app = FastAPI(
        title="Music mixer", lifespan=gate.lifespan, routes=[*people.routes(), *stage.routes()]
    )
    billing = gatekeeper_fastapi.install(
        app, gate, options=BillingOptions(success_url="/?checkout={CHECKOUT_SESSION_ID}")
    )

    @app.get("/")
    async def page() -> HTMLResponse:
        nonce = secrets.token_urlsafe(16)
        headers = stage.page_headers(nonce)
        return HTMLResponse(PAGE.replace("{{ nonce }}", nonce), headers=headers)

    add_sounds(app, gate, billing)
    add_projects(app, billing)
    return app


def add_sounds(app: FastAPI, gate: Gatekeeper, billing: Billing) -> None:
    """Listening, exports, masters and downloads."""
    files: dict[tuple[str, str], bytes] = {}  # a real app keeps these in its own storage

    async def keep(sound: bytes) -> Made:
        if len(files) >= MAX_FILES:
            files.pop(next(iter(files)))
        name = f"{secrets.token_hex(8)}.wav"
        files[await who(), name] = sound
        return Made(file=name)

    @app.post("/listen")
    def listen(mix: Mix) -> Response:
        return Response(render(mix.model_dump()), media_type="audio/wav")

    @app.post("/exports")
    @gate.consumes("exports", 1)
    async def export(mix: Mix) -> Made:
        return await keep(render(mix.model_dump()))

    @app.post("/masters")
    @gate.consumes("masters", 1)
    async def master(mix: Mix) -> Made:
        return await keep(render(mix.model_dump(), loudest=True))

    @app.get("/files/{name}", dependencies=[billing.requires_feature("downloads")])
    async def download(name: str) -> Response:
        sound = files.get((await who(), name))
        if sound is None:
            raise HTTPException(404, "There is no such file.")
        return Response(sound, media_type="audio/wav")


def add_projects(app: FastAPI, billing: Billing) -> None:
    """Saving mixes."""
    projects: dict[str, dict[str, Mix]] = {}

    @app.put("/projects", dependencies=[billing.requires_feature("projects")])
    async def save(project: Project) -> list[Project]:
        own = projects.setdefault(await who(), {})
        if project.name not in own and len(own) >= MAX_PROJECTS:
            raise HTTPException(409, f"There is room for {MAX_PROJECTS} projects.")
        own[project.name] = project.mix
        return [Project(name=name, mix=mix) for name, mix in own.items()]

    @app.get("/projects")
    async def saved() -> list[Project]:
        # What was saved is theirs, whatever they pay.
        return [Project(name=name, mix=mix) for name, mix in projects.get(await who(), {}).items()]


async def who() -> str:
    """The customer who asks."""
    return (await current().identity()).customer
