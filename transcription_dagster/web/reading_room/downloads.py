"""The files of a recording offered for download: those in the store, and a Word document made on request."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from starlette.responses import Response

from transcription_dagster.errors import SourceNotFound
from transcription_dagster.store.object_store import object_key
from transcription_dagster.transcripts.conversation import shown_speaker
from transcription_dagster.web.pages import day, language_name, short_clock
from transcription_dagster.web.reading_room.archive import Archive
from transcription_dagster.web.reading_room.turns import View, shown_turns

#: Characters that XML does not allow.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

_WORD_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
WORD_FILE = "transcript.docx"

#: The stored files offered for download, with their media types and labels. No other file is served.
FILES: Mapping[str, tuple[str, str]] = {
    "refined.srt": ("application/x-subrip", "Captions (SRT)"),
    "refined.vtt": ("text/vtt", "Captions (WebVTT)"),
    "corrected.txt": ("text/plain; charset=utf-8", "Text"),
    "corrected.json": ("application/json", "Words with times (JSON)"),
    "captions.srt": ("application/x-subrip", "Original captions (SRT)"),
    "captions.vtt": ("text/vtt", "Original captions (WebVTT)"),
    "transcript.txt": ("text/plain; charset=utf-8", "Original text"),
    "transcript.json": ("application/json", "Original words with times (JSON)"),
    "redacted.srt": ("application/x-subrip", "Redacted captions (SRT)"),
    "redacted.vtt": ("text/vtt", "Redacted captions (WebVTT)"),
    "redacted.txt": ("text/plain; charset=utf-8", "Redacted text"),
    "redacted.json": ("application/json", "Redacted words with times (JSON)"),
}


@dataclass(frozen=True, slots=True)
class OfferedFile:
    """A file to download."""

    name: str
    label: str


def offered_files(archive: Archive, uuid: str) -> list[OfferedFile]:
    """Return the files offered for a recording."""
    stored = {file.key.partition("/")[2] for file in archive.store.list(uuid)}
    word_file = [OfferedFile(WORD_FILE, "Word document (DOCX)")] if "transcript.json" in stored else []
    return [*word_file, *(OfferedFile(name, label) for name, (_, label) in FILES.items() if name in stored)]


def file_response(archive: Archive, uuid: str, name: str, *, inline: bool = False) -> Response:
    """Return a file to save under the recording's title; `inline`: for the player. Raises `SourceNotFound`."""
    recording = archive.recording(uuid)
    if name == WORD_FILE:
        data, media_type = _word_file(archive, uuid), _WORD_TYPE
    elif name in FILES:
        data, media_type = archive.store.get_bytes(object_key(uuid, name)), FILES[name][0]
    else:
        raise SourceNotFound(f"There is no file {name[:80]!r} to download.")
    headers = {"Cache-Control": "private, no-cache"}
    if not inline:
        title = recording.title or recording.file_name.rpartition(".")[0] or uuid
        headers["Content-Disposition"] = _attachment(title, name)
    return Response(data, media_type=media_type, headers=headers)


def _word_file(archive: Archive, uuid: str) -> bytes:
    recording, reading = archive.recording(uuid), archive.reading(uuid)
    if reading is None:
        raise SourceNotFound("There is no transcript of this recording yet.")
    paragraphs = (
        Paragraph(
            turn.speaker and shown_speaker(turn.speaker),
            short_clock(turn.start),
            "".join(piece.text for piece in turn.pieces),
        )
        for turn in shown_turns(reading, View.REFINED)
    )
    facts = [day(recording.recorded_at), short_clock(reading.duration), language_name(reading.language)]
    return write_word_document(recording.title or recording.file_name, facts, paragraphs)


def _attachment(title: str, file: str) -> str:
    """Return the header that names a file, in ASCII for every client and in the title's own script (RFC 6266)."""
    stem = " ".join(re.sub(r"[^\w .-]+", " ", title).split()).strip(" .")[:100] or "recording"
    name = f"{stem} {file}"
    plain = re.sub(r"[^A-Za-z0-9 ._-]+", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One turn; `clock` is its start as text."""

    speaker: str | None
    clock: str
    text: str


def write_word_document(title: str, facts: Sequence[str], paragraphs: Iterable[Paragraph]) -> bytes:
    """Write a document: the title, a line of facts, and a paragraph for each turn, with its speaker and time."""
    # Imported with the first document: it takes 8 MB of a web server's memory.
    from docx import Document

    document = Document()
    document.core_properties.title = _clean(title)[:255]
    document.core_properties.author = ""
    document.add_heading(_clean(title), level=1)
    if facts:
        _grey(document.add_paragraph().add_run(_clean(" · ".join(facts))))
    for paragraph in paragraphs:
        block = document.add_paragraph()
        if paragraph.speaker:
            block.add_run(_clean(f"{paragraph.speaker}  ")).bold = True
        _grey(block.add_run(f"{paragraph.clock}\n"))
        block.add_run(_clean(paragraph.text))
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def _grey(run: object) -> None:
    from docx.shared import Pt, RGBColor

    run.font.size = Pt(9)  # type: ignore[attr-defined]
    run.font.color.rgb = RGBColor(0x6B, 0x72, 0x80)  # type: ignore[attr-defined]


def _clean(text: str) -> str:
    return _CONTROL.sub("", text)
