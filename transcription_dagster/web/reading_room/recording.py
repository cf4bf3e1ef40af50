"""`/recordings/UUID`: one recording to read and listen to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from typing import Any, Protocol
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from transcription_dagster.corrections import journal
from transcription_dagster.transcripts.reading import Reading
from transcription_dagster.web.pages import Pages
from transcription_dagster.web.reading_room.archive import Archive
from transcription_dagster.web.reading_room.downloads import offered_files
from transcription_dagster.web.reading_room.media import media_of
from transcription_dagster.web.reading_room.turns import ShownTurn, View, corrected_turns, shown_turns

#: Number of speaker colours; further speakers reuse them from the first.
_COLOURS = 6
_LABELS = {
    View.CORRECTED: "Corrected",
    View.CHANGES: "With changes",
    View.REFINED: "Refined",
    View.RAW: "Original",
}


@dataclass(frozen=True, slots=True)
class Note:
    """A note between turns: speech without recognised words (`gap`), or a removed hallucination (`removed`)."""

    kind: str
    start: float
    end: float
    text: str = ""
    reason: str = ""
    #: The text by which a second pass replaced it.
    instead: str = ""


class _SpokenTurn(Protocol):
    """A turn: the machine's words `first` up to `stop`, and their speaker."""

    @property
    def first(self) -> int: ...
    @property
    def stop(self) -> int: ...
    @property
    def speaker(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the text: a turn, or a note between turns. Rows are in order of time."""

    start: float
    turn: ShownTurn | None = None
    note: Note | None = None


def show_recording(archive: Archive, pages: Pages, request: Request, uuid: str) -> Response:
    """Show the page of a recording; without a transcript it shows the recording's progress."""
    recording = archive.recording(uuid)
    reading = archive.reading(uuid)
    media = media_of(archive, recording)
    values = {
        "recording": recording,
        "reading": reading,
        "view": None,
        "version": 0,
        "rows": [],
        "stretches": {},
        "media": media,
        "files": offered_files(archive, uuid),
        "dagster_url": dagster_page(uuid),
        "keeps_voices": archive.settings.voice_prints,
        "publishes_redacted": archive.settings.publish == "redacted",
        **(_text(archive, reading, request.query_params.get("view")) if reading else {}),
    }
    origin = media.origin if media else ""
    return pages.render(request, "recording.html", values, media_origin=origin, streamed=True)


def peaks_response(archive: Archive, uuid: str) -> Response:
    """Return the waveform: one byte for each twentieth of a second."""
    headers = {"Cache-Control": "private, no-cache"}
    return Response(archive.peaks(uuid), media_type="application/octet-stream", headers=headers)


def turns_response(archive: Archive, pages: Pages, request: Request, uuid: str) -> Response:
    """Return turns of the corrected text as HTML for the page's scripts: those with the words `first` up to `stop`."""
    text = archive.manuscripts.corrected(archive.engine, uuid)
    first, stop = (_index(request.query_params.get(name, "")) for name in ("first", "stop"))
    numbers = _colours(text.reading.speakers())
    values = {"turns": corrected_turns(text, first, stop), "numbers": numbers, "view": View.CORRECTED}
    return pages.render(request, "turns.html", values)


def _index(text: str) -> int:
    # Python refuses to read very long numbers.
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _text(archive: Archive, reading: Reading, requested_view: str | None) -> dict[str, Any]:
    """Return the template's values for the text, in the requested view or the default one."""
    is_corrected = journal.is_corrected(archive.engine, reading.recording)
    default_view = View.CORRECTED if is_corrected else View.CHANGES if reading.edits else View.RAW
    view = View(requested_view) if requested_view in list(View) else default_view
    views = [View.CORRECTED, *([View.CHANGES, View.REFINED] if reading.edits else []), View.RAW]
    version, speakers = 0, reading.speakers
    if view is View.CORRECTED:
        text = archive.manuscripts.corrected(archive.engine, reading.recording)
        version, speakers, turns = text.version, text.reading.speakers(), corrected_turns(text)
        outline = text.reading.outline()
    else:
        outline, turns = reading.turns, shown_turns(reading, view)
    numbers = _colours(speakers)
    return {
        "view": view,
        "views": views,
        "labels": _LABELS if is_corrected else {**_LABELS, View.CORRECTED: "Correct"},
        "version": version,
        "speakers": speakers,
        "rows": _rows(reading, turns),
        "stretches": _stretches(reading, outline, numbers),
        "numbers": numbers,
    }


def _colours(speakers: Sequence[str]) -> dict[str, int]:
    """Return the colour number of each speaker."""
    return {speaker: number % _COLOURS for number, speaker in enumerate(speakers)}


def _rows(reading: Reading, turns: Iterable[ShownTurn]) -> Iterator[Row]:
    """Yield the turns and notes in order of time.

    Turns are consumed one at a time, so that the first ones are sent before the others are made.
    """
    gaps = [Note("gap", gap.start, gap.end) for gap in reading.gaps]
    removed = [
        Note("removed", speech.start, speech.end, speech.text, speech.reason, speech.instead)
        for speech in reading.removed
    ]
    notes = sorted((Row(note.start, note=note) for note in (*gaps, *removed)), key=lambda row: row.start)
    return merge((Row(turn.start, turn=turn) for turn in turns), notes, key=lambda row: row.start)


def _stretches(reading: Reading, turns: Iterable[_SpokenTurn], numbers: Mapping[str, int]) -> dict[str, Any]:
    """Return the waveform's coloured stretches in seconds: speech with its speaker's number, and places to check."""
    words = reading.words
    return {
        "duration": reading.duration,
        "speech": [
            [words[turn.first].start, words[turn.stop - 1].end, numbers.get(turn.speaker or "", 0)] for turn in turns
        ],
        "gaps": [[gap.start, gap.end] for gap in reading.gaps],
        "removed": [[speech.start, speech.end] for speech in reading.removed],
    }


def dagster_page(uuid: str) -> str:
    """Return the address of the recording's partition in Dagster's UI."""
    return f"/assets/publication?{urlencode({'view': 'partitions', 'partition': uuid})}"
