"""How each asset's value is written to the store: its file and its form."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from transcription_dagster.model import Audio
from transcription_dagster.text.transcribe_json import read_transcript, write_transcript


@dataclass(frozen=True, slots=True)
class StoredForm:
    """The file of an asset below its recording's folder, and how its value becomes bytes and back."""

    file: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def _text(file: str) -> StoredForm:
    return StoredForm(file, lambda value: value.encode("utf-8"), lambda data: data.decode("utf-8"))


def _audio_to_json(audio: Audio) -> bytes:
    return json.dumps(asdict(audio), indent=1).encode()


#: The audio itself, which `audio.json` describes.
AUDIO_FILE = "audio.flac"

STORED_FORMS: Mapping[str, StoredForm] = {
    "audio": StoredForm("audio.json", _audio_to_json, lambda data: Audio(**json.loads(data))),
    "transcript": StoredForm("transcript.json", lambda value: write_transcript(value).encode(), read_transcript),
    "transcript_txt": _text("transcript.txt"),
    "captions_srt": _text("captions.srt"),
    "captions_vtt": _text("captions.vtt"),
}
