"""The routes of the reading room."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from transcription_dagster.model import recording_id
from transcription_dagster.web.pages import Pages
from transcription_dagster.web.reading_room.archive import Archive
from transcription_dagster.web.reading_room.downloads import file_response
from transcription_dagster.web.reading_room.listing import show_list
from transcription_dagster.web.reading_room.media import media_response
from transcription_dagster.web.reading_room.recording import peaks_response, show_recording, turns_response

LIST = "/recordings"
_STATIC = Path(__file__).parent.parent / "static"


def reading_room(archive: Archive, pages: Pages) -> list[BaseRoute]:
    """Return the routes of the reading room. Endpoints run in threads, since they wait for the database."""

    def of_recording(path: str, answer: Callable[[Request, str], Response]) -> Route:
        # Validate the UUID once, here: no other text reaches a query, a path or a page.
        def endpoint(request: Request) -> Response:
            return answer(request, recording_id(request.path_params["recording"]))

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
