"""The routes of the API."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match, Route

from transcription_dagster.sources.submissions import Intake
from transcription_dagster.web.csrf import Csrf
from transcription_dagster.web.program_api.correcting import Correcting
from transcription_dagster.web.program_api.mcp import Assistants
from transcription_dagster.web.program_api.openapi import describe
from transcription_dagster.web.program_api.recordings import Recordings
from transcription_dagster.web.program_api.vocabulary import VocabularyOperations
from transcription_dagster.web.program_api.voices import Voices
from transcription_dagster.web.reading_room.archive import Archive

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def program_api(archive: Archive, csrf: Csrf) -> list[BaseRoute]:
    """Return all operations, and their description at `/api/openapi.json`."""
    correcting = Correcting(archive.engine, archive.manuscripts)
    recordings = Recordings(archive, Intake(archive.engine, archive.store, archive.settings))
    vocabulary = VocabularyOperations(archive.engine, archive.settings)
    voices = Voices(archive.engine, archive.manuscripts)
    parts = (recordings, correcting, voices, vocabulary)
    operations = [operation for part in parts for operation in part.operations()]
    document = describe(operations)

    async def description(_request: Request) -> Response:
        return JSONResponse(document)

    routes = [
        Route("/api/openapi.json", description, methods=["GET"]),
        *(operation.route(archive.engine, csrf, archive.settings) for operation in operations),
    ]

    async def unknown(request: Request) -> Response:
        here = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
        if not here:
            return JSONResponse({"error": "there is nothing at this address; see /api/openapi.json"}, 404)
        allowed = ", ".join(sorted({method for route in here for method in route.methods or ()}))
        return JSONResponse({"error": f"the methods here are {allowed}"}, 405, {"Allow": allowed})

    return [
        *routes,
        *Assistants(archive, correcting).routes(csrf),
        # Dagster's UI would answer any other path with its own page.
        Route("/api/{rest:path}", unknown, methods=_METHODS),
    ]
