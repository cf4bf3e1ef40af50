"""The sound of a recording, as a browser plays it: in ranges from a disk, by a short-lived link from a bucket."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from transcription_dagster.defs.stored_values import AUDIO_FILE
from transcription_dagster.errors import SourceNotFound
from transcription_dagster.store.object_store import object_key
from transcription_dagster.web.reading_room.archive import Archive

#: How long a link into a bucket is good for. The player asks for a new one when it has run out.
LINK_SECONDS = 3600


def audio_response(archive: Archive, _request: Request, recording: str) -> Response:
    """The normalised audio of a recording. Raises `SourceNotFound` where there is none yet."""
    key = object_key(recording, AUDIO_FILE)
    path = archive.store.local_path(key)
    if path is None:
        return RedirectResponse(archive.store.signed_url(key, LINK_SECONDS), 307, {"Cache-Control": "no-store"})
    if not path.is_file():
        raise SourceNotFound("The audio of this recording is not there yet.")
    return FileResponse(path, media_type="audio/flac", headers={"Cache-Control": "private, no-cache"})
