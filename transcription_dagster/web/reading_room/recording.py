"""`/recordings/UUID`: one recording to read and to hear."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from transcription_dagster.web.pages import Pages
from transcription_dagster.web.reading_room.archive import Archive
from transcription_dagster.web.reading_room.turns import shown_turns


def show_recording(archive: Archive, pages: Pages, request: Request, uuid: str) -> Response:
    """The page of one recording; without a transcript it says how far the recording is."""
    recording = archive.recording(uuid)
    reading = archive.reading(uuid)
    values = {
        "recording": recording,
        "reading": reading,
        "turns": shown_turns(reading) if reading else [],
        "dagster_url": dagster_page(uuid),
    }
    return pages.render(request, "recording.html", values)


def dagster_page(uuid: str) -> str:
    """The recording's partition in Dagster's UI."""
    return f"/assets/publication?{urlencode({'view': 'partitions', 'partition': uuid})}"
