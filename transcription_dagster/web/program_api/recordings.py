"""Recordings over the API: list, search, results, and submission."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from transcription_dagster.database.archive import Filters, ListedRecording, ListPlace, RecordingStatus, list_recordings
from transcription_dagster.database.publications import published_with
from transcription_dagster.database.tokens import TokenScope
from transcription_dagster.defs.stored_values import REDACTED_FILES, STORED_FORMS
from transcription_dagster.defs.versions import REDACTED_CHUNKS
from transcription_dagster.errors import SourceNotFound
from transcription_dagster.search.query import MATCH_END, MATCH_START, search
from transcription_dagster.sources.submissions import Description, Intake
from transcription_dagster.store.object_store import object_key
from transcription_dagster.store.scratch import scratch_folder
from transcription_dagster.urls import shown_url
from transcription_dagster.web.program_api.operations import (
    ONLY_REDACTED,
    Access,
    Call,
    Input,
    Operation,
    Refusal,
    reads_everything,
)
from transcription_dagster.web.reading_room.archive import Archive

_FILES = frozenset(form.file for form in STORED_FORMS.values())
_TYPES = {
    ".json": "application/json",
    ".srt": "application/x-subrip; charset=utf-8",
    ".vtt": "text/vtt; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}


class RecordingModel(BaseModel):
    """A recording and its status."""

    recording: str
    title: str | None
    source: str
    status: RecordingStatus
    recorded_at: datetime
    language: str | None
    #: In seconds.
    duration: float | None
    words: int | None
    speakers: list[str]
    published_at: datetime | None
    #: Why the last attempt failed.
    error: str | None


class ListQuery(Input):
    """Which recordings to list, newest first."""

    language: str | None = None
    status: RecordingStatus | None = None
    speaker: str | None = None
    since: datetime | None = Field(default=None, description="Recorded at this time or later.")
    until: datetime | None = Field(default=None, description="Recorded before this time.")
    limit: int = Field(default=50, ge=1, le=500)
    after: str | None = Field(default=None, description="`next` of the previous page.")


class RecordingsModel(BaseModel):
    """A page of the list; `next` is None on the last page."""

    recordings: list[RecordingModel]
    next: str | None


class OneRecordingModel(RecordingModel):
    """A recording with the names of its result files."""

    files: list[str]


class SearchQuery(Input):
    """A search query."""

    q: str = Field(min_length=1, max_length=500)
    limit: int = Field(default=20, ge=1, le=100)
    language: str | None = None


class MomentModel(BaseModel):
    """A moment that matches a query, in seconds from the start of its recording."""

    recording: str
    title: str | None
    recorded_at: datetime
    start: float
    end: float
    speakers: list[str]
    text: str
    #: The text around the match.
    snippet: str
    #: Where to read and play it.
    page: str


class MomentsModel(BaseModel):
    """The moments that match a query, best first."""

    moments: list[MomentModel]


class SubmitRequest(Input):
    """A recording at a URL."""

    url: str = Field(max_length=4_000, description="https:// on one of the hosts in TRANSCRIPTION_SOURCE_HOSTS.")
    title: str | None = Field(default=None, max_length=500)
    language: str | None = Field(default=None, max_length=50, description="Detected if unset.")
    webhook: str | None = Field(
        default=None, max_length=2_000, description="URL that receives a signed POST when the recording is done."
    )


class UploadQuery(Input):
    """Details of a file sent as the request body."""

    name: str = Field(
        default="", max_length=500, description="The file's name; its extension helps to detect the format."
    )
    title: str | None = Field(default=None, max_length=500)
    language: str | None = Field(default=None, max_length=50)
    webhook: str | None = Field(default=None, max_length=2_000)


class SubmittedModel(BaseModel):
    """The UUID assigned to the recording."""

    recording: str


@dataclass(frozen=True, slots=True)
class Recordings:
    """The operations on the archive: list, search, results and submission."""

    archive: Archive
    intake: Intake

    def operations(self) -> list[Operation]:
        """Return the operations."""
        many = "/api/recordings"
        one = f"{many}/{{recording}}"
        read, submit = TokenScope.READ, TokenScope.SUBMIT
        return [
            Operation("GET", many, read, "List recordings", self.list, ListQuery, RecordingsModel),
            Operation("POST", many, submit, "Submit a URL", self.submit, SubmitRequest, SubmittedModel, status=202),
            Operation(
                "POST",
                "/api/uploads",
                submit,
                "Submit a file as the request body",
                self.upload,
                UploadQuery,
                SubmittedModel,
                status=202,
                accepts_file=True,
            ),
            Operation("GET", "/api/search", read, "Search by words and meaning", self.find, SearchQuery, MomentsModel),
            Operation("GET", one, read, "A recording and its results", self.one, None, OneRecordingModel),
            Operation(
                "GET", f"{one}/files/{{file}}", read, "A result", self.file, media_type="application/octet-stream"
            ),
        ]

    def list(self, call: Call) -> RecordingsModel:
        """Return a page of the list."""
        query: ListQuery = call.values
        filters = Filters(query.language, query.since, query.until, query.status, query.speaker)
        rows = list_recordings(self.archive.engine, filters, after=_parse_cursor(query.after), limit=query.limit + 1)
        page = rows[: query.limit]
        following = _cursor(page[-1].place) if len(rows) > query.limit else None
        return RecordingsModel(recordings=[RecordingModel(**_fields(row)) for row in page], next=following)

    def find(self, call: Call) -> MomentsModel:
        """Return the moments that match a query."""
        query: SearchQuery = call.values
        redacted = not reads_everything(call.access, self.archive.settings)
        return MomentsModel(moments=moments(self.archive, query.q, query.limit, query.language, redacted=redacted))

    def one(self, call: Call) -> OneRecordingModel:
        """Return a recording with the files that exist and that the sender may read."""
        recording = self.archive.recording(call.recording)
        readable = self._readable_files(call.access)
        files = sorted(stored.key.partition("/")[2] for stored in self.archive.store.list(call.recording))
        return OneRecordingModel(**_fields(recording), files=[name for name in files if name in readable])

    def file(self, call: Call) -> Response:
        """Return one of the result files."""
        name = call.request.path_params["file"]
        if name not in _FILES:
            raise SourceNotFound("there is no such file; `files` of the recording lists them")
        if name not in self._readable_files(call.access):
            raise Refusal(403, ONLY_REDACTED)
        self.archive.recording(call.recording)
        document = self.archive.store.get_bytes(object_key(call.recording, name))
        media_type = _TYPES.get(Path(name).suffix, "application/octet-stream")
        return Response(document, media_type=media_type, headers={"Content-Disposition": "attachment"})

    def _readable_files(self, access: Access) -> frozenset[str]:
        return _FILES if reads_everything(access, self.archive.settings) else REDACTED_FILES

    def submit(self, call: Call) -> SubmittedModel:
        """Submit a recording at a URL."""
        values: SubmitRequest = call.values
        description = Description(values.title, values.language, values.webhook)
        return SubmittedModel(recording=self.intake.submit_url(values.url, description, _submitter(call.access)))

    async def upload(self, call: Call) -> SubmittedModel:
        """Submit the file in the request body, which is streamed to disk."""
        query: UploadQuery = call.values
        description = Description(query.title, query.language, query.webhook)
        self.intake.check(description)
        limit = int(self.archive.settings.max_source_gb * 1e9)
        with scratch_folder(self.archive.settings) as folder, tempfile.NamedTemporaryFile(dir=folder) as file:
            size = 0
            async for chunk in call.request.stream():
                size += len(chunk)
                if size > limit:
                    raise Refusal(413, f"the file is larger than {limit} bytes (TRANSCRIPTION_MAX_SOURCE_GB)")
                await run_in_threadpool(file.write, chunk)
            if not size:
                raise Refusal(422, "the body is empty: send the file as the body")
            await run_in_threadpool(file.flush)
            submitter = _submitter(call.access)
            uuid = await run_in_threadpool(self.intake.submit_file, Path(file.name), query.name, description, submitter)
        return SubmittedModel(recording=uuid)


def moments(
    archive: Archive, query: str, limit: int, language: str | None = None, *, redacted: bool
) -> list[MomentModel]:
    """Return the moments that match a query, best first; if `redacted`, only those in redacted text.

    A recording whose index was made from unredacted text is not searched then, until it is embedded again.
    """
    among = published_with("embeddings", REDACTED_CHUNKS) if redacted else None
    embedding = archive.embedder.embed(query)
    hits = search(archive.engine, query, embedding, limit=limit, language=language, among=among)
    return [
        MomentModel(
            recording=hit.recording,
            title=hit.title,
            recorded_at=hit.recorded_at,
            start=hit.start,
            end=hit.end,
            speakers=list(hit.speakers),
            text=hit.text,
            snippet=hit.snippet.replace(MATCH_START, "").replace(MATCH_END, ""),
            page=f"/recordings/{hit.recording}?t={hit.start:.2f}",
        )
        for hit in hits
    ]


def _fields(row: ListedRecording) -> dict[str, Any]:
    return {
        "recording": row.uuid,
        "title": row.title,
        "source": shown_url(row.source),
        "status": row.status,
        "recorded_at": row.recorded_at,
        "language": row.language,
        "duration": row.duration,
        "words": row.words,
        "speakers": list(row.speakers),
        "published_at": row.published_at,
        "error": row.error,
    }


def _submitter(access: Access) -> str:
    return access.program or "the reading room"


def _cursor(place: ListPlace) -> str:
    return f"{place.recorded_at.astimezone(UTC).isoformat()}_{place.uuid}"


def _parse_cursor(cursor: str | None) -> ListPlace | None:
    if cursor is None:
        return None
    moment, _, recording = cursor.partition("_")
    try:
        return ListPlace(datetime.fromisoformat(moment), recording)
    except ValueError:
        raise Refusal(422, "`after` is not the `next` of a page") from None
