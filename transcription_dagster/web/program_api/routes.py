"""The routes of the API."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from transcription_dagster.sources.submissions import Intake
from transcription_dagster.web.csrf import Csrf
from transcription_dagster.web.program_api.correcting import Correcting
from transcription_dagster.web.program_api.mcp import Assistants
from transcription_dagster.web.program_api.openapi import describe
from transcription_dagster.web.program_api.recordings import Recordings
from transcription_dagster.web.program_api.vocabulary import VocabularyOperations
from transcription_dagster.web.program_api.voices import Voices
from transcription_dagster.web.reading_room.archive import Archive


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

    async def unknown(_request: Request) -> Response:
        return JSONResponse({"error": "there is nothing at this address; see /api/openapi.json"}, 404)

    return [
        Route("/api/openapi.json", description, methods=["GET"]),
        *(operation.route(archive.engine, csrf, archive.settings) for operation in operations),
        *Assistants(archive, correcting).routes(csrf),
        # Dagster's UI would answer any other path with its own page.
        Route("/api/{rest:path}", unknown, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    ]
