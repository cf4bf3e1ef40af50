"""The application: all routes of the web server, with Dagster's UI on every path that is not listed here."""

from __future__ import annotations

from asyncio import Task
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster_webserver.webserver import DagsterWebserver
from graphql import GraphQLError, GraphQLFormattedError, OperationDefinitionNode, OperationType, parse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from transcription_dagster.errors import TranscriptionError
from transcription_dagster.model import recording_id
from transcription_dagster.settings import Settings
from transcription_dagster.sources.submissions import Intake
from transcription_dagster.web.guard import Csrf, Guard, OwnNames, SecurityHeaders
from transcription_dagster.web.login import Login, Password, Sessions, Wall
from transcription_dagster.web.pages import Pages
from transcription_dagster.web.program_api.correcting import Correcting
from transcription_dagster.web.program_api.mcp import Assistants
from transcription_dagster.web.program_api.openapi import openapi_document
from transcription_dagster.web.program_api.recordings import Recordings
from transcription_dagster.web.program_api.vocabulary import VocabularyOperations
from transcription_dagster.web.program_api.voices import Voices
from transcription_dagster.web.reading_room.archive import Archive
from transcription_dagster.web.reading_room.downloads import file_response
from transcription_dagster.web.reading_room.listing import show_list
from transcription_dagster.web.reading_room.media import media_response
from transcription_dagster.web.reading_room.recording import peaks_response, show_recording, turns_response
from transcription_dagster.web.vocabulary_page import VocabularyPage

HEALTH, LIST = "/health", "/recordings"
_STATIC = Path(__file__).parent / "static"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def create_app(context: WorkspaceProcessContext, settings: Settings, *, host: str, port: int) -> ASGIApp:
    """Return the application for a server bound to `host` and `port`, with a login if the settings have a password."""
    routes: list[BaseRoute] = [Route(HEALTH, _health, methods=["GET"])]
    middleware = [Middleware(Guard, names=OwnNames.of_server(host, settings.ui_hosts))]
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
    app = Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={
            TranscriptionError: pages.error,
            HTTPException: pages.refused,
            ClientDisconnect: _disconnected,
            Exception: pages.failed,
        },
    )
    # Around the whole application, because Starlette answers unexpected errors outside its middleware.
    return SecurityHeaders(app)


async def _disconnected(_request: Request, _error: Exception) -> Response:
    """End a request whose client has gone before sending all of it, which is not an error of the program."""
    return Response(status_code=408)


async def _health(_request: Request) -> JSONResponse:
    """Report that the server is up. Monitoring needs no password, and the response reveals nothing else."""
    return JSONResponse({"status": "ok"})


def program_api(archive: Archive, csrf: Csrf) -> list[BaseRoute]:
    """Return the routes of the API and of its description, `/api/openapi.json`."""
    correcting = Correcting(archive.engine, archive.manuscripts)
    recordings = Recordings(archive, Intake(archive.engine, archive.store, archive.settings))
    vocabulary = VocabularyOperations(archive.engine, archive.settings)
    voices = Voices(archive.engine, archive.manuscripts)
    groups = (recordings, correcting, voices, vocabulary)
    operations = [operation for group in groups for operation in group.operations()]
    document = openapi_document(operations)

    async def description(_request: Request) -> Response:
        return JSONResponse(document)

    routes = [
        Route("/api/openapi.json", description, methods=["GET"]),
        *(operation.route(archive.engine, csrf, archive.settings) for operation in operations),
    ]

    async def not_found(request: Request) -> Response:
        same_path = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
        if not same_path:
            return JSONResponse({"error": "there is nothing at this address; see /api/openapi.json"}, 404)
        allowed = ", ".join(sorted({method for route in same_path for method in route.methods or ()}))
        return JSONResponse({"error": f"this address supports only {allowed}"}, 405, {"Allow": allowed})

    return [
        *routes,
        *Assistants(archive, correcting).routes(csrf),
        # Dagster's UI would answer any other path with its own page.
        Route("/api/{rest:path}", not_found, methods=_METHODS),
    ]


def reading_room(archive: Archive, pages: Pages) -> list[BaseRoute]:
    """Return the routes of the reading room. Endpoints run in threads, since they wait for the database."""

    def of_recording(path: str, handler: Callable[[Request, str], Response]) -> Route:
        # Validate the UUID once, here: no other text reaches a query, a path or a page.
        def endpoint(request: Request) -> Response:
            return handler(request, recording_id(request.path_params["recording"]))

        return Route(f"{LIST}/{{recording}}{path}", endpoint, methods=["GET"])

    return [
        Route(LIST, lambda request: show_list(archive, pages, request), methods=["GET"]),
        Mount(f"{LIST}/static", StaticFiles(directory=_STATIC)),
        of_recording("", lambda request, uuid: show_recording(archive, pages, request, uuid)),
        of_recording("/turns", lambda request, uuid: turns_response(archive, pages, request, uuid)),
        of_recording("/media", lambda request, uuid: media_response(archive, uuid)),
        of_recording("/peaks", lambda request, uuid: peaks_response(archive, uuid)),
        of_recording("/tracks/{name}", lambda request, uuid: file_response(archive, uuid, _name(request), inline=True)),
        of_recording("/files/{name}", lambda request, uuid: file_response(archive, uuid, _name(request))),
        # Dagster's UI would answer any other path with its own page.
        Route(f"{LIST}/{{rest:path}}", lambda request: pages.not_found(request), methods=["GET"]),
    ]


def _name(request: Request) -> str:
    return request.path_params["name"]


class DagsterUi(DagsterWebserver[WorkspaceProcessContext, WorkspaceRequestContext]):
    """Dagster's UI and its API. The GraphQL endpoint accepts commands only as POSTs of JSON.

    Dagster itself also runs mutations sent by GET, or in the query string of a POST of any type, which an image, a link
    or a form on any other page can send.
    """

    async def graphql_http_endpoint(self, request: Request) -> HTMLResponse | PlainTextResponse | JSONResponse:
        """Answer a GraphQL request; a POST must be entirely JSON."""
        if request.method == "POST":
            if _media_type(request) != "application/json":
                return _refusal(415, "a POST to GraphQL must be application/json")
            try:
                body = await request.json()
            except (ValueError, RecursionError):
                return _refusal(400, "the body is not JSON")
            if not isinstance(body, dict) or not isinstance(body.get("query"), str):
                return _refusal(400, "the body must be one JSON object with a query")
        return await super().graphql_http_endpoint(request)

    async def execute_graphql_request(
        self, request: Request, query: str, variables: dict[str, Any] | None, operation_name: str | None
    ) -> JSONResponse:
        """Run the operation, unless it is a mutation sent by GET."""
        if request.method != "POST" and OperationType.MUTATION in operation_types(query):
            return _refusal(405, "a mutation must be a POST of application/json", Allow="POST")
        return await super().execute_graphql_request(request, query, variables, operation_name)

    async def execute_graphql_subscription(
        self,
        websocket: WebSocket,
        operation_id: str,
        query: str,
        variables: dict[str, Any] | None,
        operation_name: str | None,
    ) -> tuple[Task[None] | None, GraphQLFormattedError | None]:
        """Start a subscription; a websocket accepts nothing else."""
        if operation_types(query) - {OperationType.SUBSCRIPTION}:
            return None, GraphQLError("a websocket accepts only subscriptions").formatted
        return await super().execute_graphql_subscription(websocket, operation_id, query, variables, operation_name)


def operation_types(query: str) -> set[OperationType]:
    """Return the types of all operations in a GraphQL document, not only the selected one; none if it is invalid."""
    try:
        document = parse(query)
    except GraphQLError:
        return set()
    return {node.operation for node in document.definitions if isinstance(node, OperationDefinitionNode)}


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip()


def _refusal(status: int, complaint: str, **headers: str) -> JSONResponse:
    return JSONResponse({"errors": [{"message": complaint}]}, status, headers=headers)
