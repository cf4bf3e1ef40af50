"""The application: this program's pages, and Dagster's UI on every other path."""

from __future__ import annotations

from dagster._core.workspace.context import WorkspaceProcessContext
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Mount, Route

from transcription_dagster.errors import TranscriptionError
from transcription_dagster.settings import Settings
from transcription_dagster.web.access import Password, Sessions
from transcription_dagster.web.csrf import Csrf
from transcription_dagster.web.dagster_ui import DagsterUi
from transcription_dagster.web.guard import Guard, SecurityHeaders
from transcription_dagster.web.login import Login, Wall
from transcription_dagster.web.own_names import OwnNames
from transcription_dagster.web.pages import Pages
from transcription_dagster.web.program_api.routes import program_api
from transcription_dagster.web.reading_room.archive import Archive
from transcription_dagster.web.reading_room.routes import reading_room
from transcription_dagster.web.vocabulary_page import VocabularyPage

HEALTH = "/health"


def create_app(context: WorkspaceProcessContext, settings: Settings, *, host: str, port: int) -> Starlette:
    """Create the application for a server bound to `host` and `port`; it requires the password if one is set."""
    routes: list[BaseRoute] = [Route(HEALTH, _health, methods=["GET"])]
    middleware = [
        Middleware(SecurityHeaders),
        Middleware(Guard, names=OwnNames.of_server(host, settings.ui_hosts)),
    ]
    if settings.ui_password is not None:
        login = Login(Password(settings.ui_password.get_secret_value()), Sessions(), f"transcription-{port}")
        routes += login.routes()
        middleware.append(Middleware(Wall, login=login, open_paths=frozenset({HEALTH})))
    csrf = Csrf(f"transcription-csrf-{port}")
    pages = Pages(csrf, has_login=settings.ui_password is not None)
    archive = Archive.of(settings)
    routes += [*program_api(archive, csrf), *reading_room(archive, pages)]
    routes += VocabularyPage(archive.engine, pages).routes()
    routes.append(Mount("", app=DagsterUi(context).create_asgi_app()))
    return Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={TranscriptionError: pages.error, Exception: pages.failed},
    )


async def _health(_request: Request) -> JSONResponse:
    """Report that the server is up. Monitoring needs no password, and the response reveals nothing else."""
    return JSONResponse({"status": "ok"})
