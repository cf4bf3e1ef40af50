"""The entries of a worklist: parsing and checking one object of the list, and writing one for a recording."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args
from urllib.parse import unquote, urlsplit

from transcription_dagster.database.recordings import Recording
from transcription_dagster.errors import (
    InvalidRecordingId,
    InvalidSetting,
    InvalidVocabulary,
)
from transcription_dagster.language.codes import whisper_language, whisper_languages
from transcription_dagster.model import ChannelMode, Term, recording_id, speaker_limits
from transcription_dagster.urls import shown_url
from transcription_dagster.vocabulary.files import parse_terms

EntryStatus = Literal["waiting", "done", "failed"]

#: The jobs that an entry may name, and their names in Dagster.
JOBS: Mapping[str, str] = {
    "transcribe": "transcribe_recordings",
    "refine": "refine",
    "captions": "captions",
    "rebuild": "rebuild",
    "reindex": "reindex",
    "publish": "publish",
    "speakers": "tell_speakers_apart",
}

#: A URL's scheme; a file URL may have no host: `file:/data/a.wav` (RFC 8089).
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://|(file):/", re.IGNORECASE)
_SCHEMES = ("file", "s3", "https", "http")


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a worklist: one recording."""

    #: Position in the list, from 1.
    position: int
    uuid: str
    #: URI of the audio; None if the recording is already registered.
    source: str | None = None
    title: str | None = None
    language: str | None = None
    #: The candidate languages; empty: those of the settings. Never together with `language`.
    languages: tuple[str, ...] = ()
    vocabulary: tuple[Term, ...] = ()
    #: Number of speakers, in the form of the setting `speakers`; None: that of the settings.
    speakers: str | None = None
    speaker_names: tuple[str, ...] = ()
    #: Channel mode; None: that of the settings.
    channels: ChannelMode | None = None
    status: EntryStatus = "waiting"
    #: A key of `JOBS`; None: `transcribe`, or `refine` for a recording with an imported transcript.
    job: str | None = None

    @property
    def may_transcribe(self) -> bool:
        """Return whether the job may need the recording's audio."""
        return self.job in (None, "transcribe")


def entry_of(recording: Recording, job: str | None = None) -> dict[str, Any]:
    """Return the recording as a worklist entry, without unknown fields."""
    values = {
        "uuid": recording.uuid,
        "job": job,
        "source": recording.source,
        "title": recording.title,
        "language": recording.language,
        "languages": list(recording.languages),
        "channels": recording.channels,
        "vocabulary": [_written_term(term) for term in recording.vocabulary],
        "speakers": list(recording.speaker_names) or recording.speakers,
    }
    return {name: value for name, value in values.items() if value}


def _written_term(term: Term) -> str | dict[str, Any]:
    if term == Term(term.text):
        return term.text
    return {"term": term.text, "variants": term.variants, "category": term.category, "weight": term.weight}


class EntryReader:
    """Parses one object of the list and collects its problems."""

    def __init__(self, position: int, item: object, folder: Path) -> None:
        self.problems: list[str] = []
        self._position = position
        self._folder = folder
        self._item = item if isinstance(item, dict) else {}
        if not isinstance(item, dict):
            self._problem(f"not an object, but {json_type(item)}")

    def read(self) -> Entry:
        """Return the entry, which is only valid if there are no problems."""
        status, job = self._status(), self._job()
        speakers, speaker_names = self._speakers()
        return Entry(
            position=self._position,
            uuid=self._uuid(),
            source=self.source(must_exist=status != "done" and job in (None, "transcribe")),
            title=self._text("title"),
            language=self._language(),
            languages=self._languages(),
            vocabulary=self._vocabulary(),
            speakers=speakers,
            speaker_names=speaker_names,
            channels=self._channels(),
            status=status,
            job=job,
        )

    def _problem(self, text: str) -> None:
        self.problems.append(f"entry {self._position}: {text}")

    def _uuid(self) -> str:
        if not self._item:
            return ""
        if "uuid" not in self._item:
            self._problem("has no `uuid`")
            return ""
        try:
            return recording_id(self._item["uuid"])
        except InvalidRecordingId as error:
            self._problem(str(error))
            return ""

    def _text(self, name: str) -> str | None:
        value = self._item.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            self._problem(f"`{name}` is not a text, but {json_type(value)}")
            return None
        if not _is_storable(value):
            self._problem(f"`{name}` contains a character that is not valid text: {ascii(value)[:80]}")
            return None
        return value

    def _language(self) -> str | None:
        try:
            return whisper_language(self._text("language"))
        except InvalidSetting as error:
            self._problem(f"`language`: {error}")
            return None

    def _languages(self) -> tuple[str, ...]:
        value = self._item.get("languages")
        if value is None:
            return ()
        if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
            self._problem("`languages` is not a list of language codes such as en, de or pt-BR")
        elif self._item.get("language") is not None:
            self._problem("has both `language` and `languages`; use one of them")
        else:
            try:
                return whisper_languages(value)
            except InvalidSetting as error:
                self._problem(f"`languages`: {error}")
        return ()

    def _status(self) -> EntryStatus:
        value = self._item.get("status") or "waiting"
        if value not in get_args(EntryStatus):
            self._problem(f"`status` is {value!r}; it can be {', '.join(get_args(EntryStatus))}")
            return "waiting"
        return cast(EntryStatus, value)

    def _job(self) -> str | None:
        value = self._item.get("job")
        if value is not None and (not isinstance(value, str) or value not in JOBS):
            self._problem(f"`job` is {value!r}; it can be {', '.join(JOBS)}")
            return None
        return value

    def _channels(self) -> ChannelMode | None:
        value = self._item.get("channels")
        if value is not None and value not in get_args(ChannelMode):
            self._problem(f"`channels` is {value!r}; it can be {', '.join(get_args(ChannelMode))}")
            return None
        return value

    def _vocabulary(self) -> tuple[Term, ...]:
        value = self._item.get("vocabulary") or ()
        if not isinstance(value, list | tuple):
            self._problem(f"`vocabulary` is not a list of terms, but {json_type(value)}")
            return ()
        try:
            return tuple(parse_terms(value, "`vocabulary`"))
        except InvalidVocabulary as error:
            # Keys are quoted verbatim, and a problem must be a single line.
            self._problem(" ".join(str(error).split()))
            return ()

    def _speakers(self) -> tuple[str | None, tuple[str, ...]]:
        """Return the number of speakers and their names: a list of names also gives the number."""
        value = self._item.get("speakers")
        if value is None:
            return None, ()
        if isinstance(value, list):
            return self._named_speakers(value)
        try:
            text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else json_type(value)
            speaker_limits(text)
        except InvalidSetting as error:
            self._problem(f"`speakers`: {error}, or a list of names")
            return None, ()
        return text, ()

    def _named_speakers(self, names: list[Any]) -> tuple[str | None, tuple[str, ...]]:
        usable = all(isinstance(name, str) and name.strip() and name.isprintable() for name in names)
        if not usable or not 1 <= len(names) <= 99 or len(set(names)) < len(names):
            self._problem("`speakers` is not a list of different names, each a line of text")
            return None, ()
        return str(len(names)), tuple(name.strip() for name in names)

    def source(self, *, must_exist: bool) -> str | None:
        """Return the URI of the entry's source; None if it has none or an invalid one."""
        value = self._text("source")
        if value is None:
            return None
        scheme = _SCHEME.match(value)
        if scheme is None:
            return self._file(Path(value), value, must_exist)
        if (scheme[1] or scheme[2]).lower() not in _SCHEMES:
            self._problem(f"`source` {shown_url(value)!r}: unknown scheme; use a path, {'://, '.join(_SCHEMES)}://")
            return None
        return self._url(value, must_exist)

    def _url(self, value: str, must_exist: bool) -> str | None:
        try:
            url = urlsplit(value)
            _ = url.port
        except ValueError:
            self._problem("`source` is not a URL that can be parsed")
            return None
        if url.scheme == "file":
            if url.netloc not in ("", "localhost"):
                self._problem(f"`source` {shown_url(value)!r} is a file on another machine")
                return None
            return self._file(Path(unquote(url.path)), value, must_exist)
        if url.username is not None or url.password is not None:
            # Not quoted, because the message would show the password.
            self._problem(
                "`source` contains a user name or password, which worklists and pages would show; remove them"
            )
        elif not url.netloc or not url.path.strip("/") or (url.scheme == "s3" and url.path.endswith("/")):
            self._problem(f"`source` {shown_url(value)!r} names no {'object' if url.scheme == 's3' else 'file'}")
        elif url.scheme != "s3" and re.search(r"[\s\x00-\x1f\x7f]", value.strip()):
            self._problem(f"`source` {shown_url(value)!r} contains a space or control character: write it as %20")
        else:
            # Schemes are case-insensitive; the following comparisons expect lower case.
            return url.scheme + value[len(url.scheme) :]
        return None

    def _file(self, path: Path, value: str, must_exist: bool) -> str | None:
        path = Path(os.path.normpath(self._folder / path))
        try:
            what = "" if not must_exist or path.is_file() else "is not a file" if path.exists() else "does not exist"
        except OSError as error:
            what = f"cannot be looked up: {error.strerror}"
            value, path = f"{value[:100]}…", Path(f"{os.fspath(path)[:200]}…")
        if what:
            resolved = "" if value == os.fspath(path) else f": {os.fspath(path)!r}"
            self._problem(f"`source` {shown_url(value)!r}{resolved} {what}")
            return None
        return path.as_uri()


def _is_storable(text: str) -> bool:
    """Return whether a database can store a text: no lone surrogates and no NUL."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def json_type(value: object) -> str:
    """Return the JSON name of a value's type."""
    if isinstance(value, str):
        return "an empty text" if not value.strip() else "a text"
    kinds: dict[type, str] = {
        dict: "an object",
        list: "a list",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return kinds.get(type(value), "null")
