"""The audio or video that a browser plays: byte ranges of a local file, or a short-lived link into a bucket."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from starlette.responses import FileResponse, RedirectResponse, Response

from transcription_dagster.database.archive import ListedRecording
from transcription_dagster.defs.stored_values import AUDIO_FILE
from transcription_dagster.errors import SourceNotFound, TranscriptionError
from transcription_dagster.sources.fetch import fetch
from transcription_dagster.store.object_store import object_key, signed_source
from transcription_dagster.web.reading_room.archive import Archive

#: Lifetime of a link into a bucket. The player requests a new one when it has expired.
LINK_SECONDS = 3600

#: Formats that every current browser plays, by file extension.
_PLAYABLE = {
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".webm": "video/webm",
}
_PRIVATE = {"Cache-Control": "private, no-cache"}


@dataclass(frozen=True, slots=True)
class Media:
    """Audio or video for the player: a local file, or a link to another server."""

    type: str
    path: Path | None = None
    url: str = ""

    @property
    def is_video(self) -> bool:
        """Return whether it is video."""
        return self.type.startswith("video/")

    @property
    def origin(self) -> str:
        """Return the origin of the other server; empty for a local file."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}" if self.url else ""


def media_of(archive: Archive, recording: ListedRecording) -> Media | None:
    """Return the original if it is reachable and browsers play it, else the normalised audio; None without either.

    Originals on other web servers are never linked: their addresses may contain secrets.
    """
    return _original(archive, recording) or _audio(archive, recording.uuid)


def media_response(archive: Archive, uuid: str) -> Response:
    """Return the file or a redirect to the link of `media_of`. Raises `SourceNotFound` if there is nothing to play."""
    media = media_of(archive, archive.recording(uuid))
    if media is None:
        raise SourceNotFound("There is no audio of this recording yet.")
    if media.path is None:
        return RedirectResponse(media.url, 307, {"Cache-Control": "no-store"})
    return FileResponse(media.path, media_type=media.type, headers=_PRIVATE)


def _original(archive: Archive, recording: ListedRecording) -> Media | None:
    scheme, separator, _ = recording.source.partition("://")
    media_type = _PLAYABLE.get(Path(recording.file_name).suffix.lower())
    if media_type is None:
        return None
    try:
        if not separator or scheme == "file":
            # A local file is served from where it is; nothing is written to the target.
            return Media(media_type, path=fetch(recording.source, Path(), archive.settings).path)
        if scheme == "s3":
            return Media(media_type, url=signed_source(recording.source, LINK_SECONDS))
    except TranscriptionError:
        # The original was moved or removed, or is outside the allowed folders. The normalised audio remains.
        return None
    return None


def _audio(archive: Archive, uuid: str) -> Media | None:
    key = object_key(uuid, AUDIO_FILE)
    if archive.store.head(key) is None:
        return None
    path = archive.store.local_path(key)
    return Media("audio/flac", path=path, url="" if path else archive.store.signed_url(key, LINK_SECONDS))
