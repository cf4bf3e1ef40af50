"""The values that cross the boundaries between parts: frozen, typed, and independent of any library."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from transcription_dagster.errors import InvalidRecordingId, InvalidSetting

_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")

_SPEAKER_LIMITS = re.compile(r"(\d{1,2})(?:-(\d{1,2}))?\Z", re.ASCII)

#: `mix`: all channels become one; `split`: each channel is transcribed separately; `auto`: decided from the audio.
ChannelMode = Literal["auto", "mix", "split"]

#: Namespace of the UUIDv5 of recordings whose file name is not a UUID.
RECORDING_NAMESPACE = uuid.NAMESPACE_URL


def recording_id(text: object) -> str:
    """Return `text` if it is a canonical lower-case UUID, the form of partition keys and folder names.

    Raises `InvalidRecordingId` for everything else, so that no other text reaches a path, URL or query.
    """
    if not isinstance(text, str) or not _CANONICAL_UUID.match(text):
        raise InvalidRecordingId(f"{text!r} is not a canonical lower-case UUID, such as {uuid.UUID(int=0)}")
    return text


@dataclass(frozen=True, slots=True)
class Word:
    """A spoken word as displayed, with the punctuation that follows it."""

    text: str
    #: Seconds from the start of the recording.
    start: float
    end: float
    #: Probability that the word was spoken, 0 to 1.
    confidence: float = 1.0
    #: Written without a space before it, such as "-five" in "twenty-five", or any word of a script without spaces.
    glued: bool = False
    speaker: str | None = None
    #: ISO 639-1 or BCP 47; None: the transcript's.
    language: str | None = None
    #: Written by a person.
    corrected: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech as the model decoded it: the words from `first` up to, but not including, `stop`."""

    start: float
    end: float
    first: int
    stop: int
    average_log_probability: float | None = None
    compression_ratio: float | None = None
    no_speech_probability: float | None = None
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class RemovedSpeech:
    """Text from the model that was removed from the transcript, and why."""

    start: float
    end: float
    text: str
    reason: str
    #: The evidence against it (see `whisper/repair/evidence.py`).
    witnesses: tuple[str, ...] = ()
    #: The text from the second pass that replaced it.
    instead: str = ""


@dataclass(frozen=True, slots=True)
class DoubtfulSpeech:
    """Text that stays in the transcript although there is evidence against it."""

    start: float
    end: float
    text: str
    witnesses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of speech in which the model found no words, even in a second pass."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """The words spoken in a recording, with their times."""

    recording: str
    words: tuple[Word, ...]
    segments: tuple[Segment, ...] = ()
    #: ISO 639-1 code, or BCP 47 if the source is more specific; of several languages, the one with the most speech.
    language: str = "en"
    #: Length of the recording in seconds.
    duration: float = 0.0
    #: The model's name; empty if another service made the transcript.
    model: str = ""
    #: The decoding options that were used.
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    removed: tuple[RemovedSpeech, ...] = ()
    doubtful: tuple[DoubtfulSpeech, ...] = ()
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class Cue:
    """A caption: times in whole milliseconds, the lines shown, and its words."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    #: The transcript's words from `first` up to, but not including, `stop`; both 0 if the cue was read from a file.
    first: int = 0
    stop: int = 0
    #: The speakers: one for the whole cue, or one per line; empty if unknown.
    speakers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Term:
    """A vocabulary entry: its spelling, and the ways in which it may be misheard."""

    text: str
    variants: tuple[str, ...] = ()
    category: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Edit:
    """A replacement of the words `first` to `last`, both included, that repeats the words it replaces."""

    first: int
    last: int
    old: str
    new: str
    kind: str


#: The library that runs a model: PyTorch, as in openai-whisper, or CTranslate2, as in faster-whisper.
SpeechEngineName = Literal["openai-whisper", "faster-whisper"]
OPENAI_WHISPER: Final = "openai-whisper"
FASTER_WHISPER: Final = "faster-whisper"

#: What tells speakers apart: the program's own networks and clustering, or a pipeline of pyannote.audio.
DiarizerName = Literal["built-in", "pyannote"]
BUILT_IN_DIARIZER: Final = "built-in"


@dataclass(frozen=True, slots=True)
class SpeechOptions:
    """How a recording is decoded. Most fields are parameters of Whisper's `transcribe` with the same meaning.

    Raises `InvalidSetting` for values with which nothing can be decoded.
    """

    model: str
    #: None: detected, wherever it changes.
    language: str | None = None
    #: The candidate languages; empty: any.
    languages: tuple[str, ...] = ()
    initial_prompt: str | None = None
    beam_size: int | None = None
    #: Tried in order while the result of a window looks wrong.
    temperatures: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    condition_on_previous_text: bool = True
    #: Remove hallucinations: text where there is no speech, and decoding loops.
    remove_invented_speech: bool = True
    #: Never chosen automatically: the two engines give slightly different words.
    engine: SpeechEngineName = OPENAI_WHISPER

    def __post_init__(self) -> None:
        if self.beam_size is not None and self.beam_size < 1:
            raise InvalidSetting(f"{self.beam_size} beams: use 1 or more, or None for greedy decoding")
        if not self.temperatures or min(self.temperatures) < 0:
            raise InvalidSetting(f"temperatures {self.temperatures}: use one or more, each 0 or higher")


@dataclass(frozen=True, slots=True)
class Audio:
    """The normalised audio of a recording (16 kHz FLAC in the store), and facts about its source."""

    recording: str
    uri: str
    seconds: float
    #: SHA-256 of the original file, hexadecimal.
    source_sha256: str
    source_bytes: int
    codec: str
    sample_rate: int
    channels: int
    #: Level in dBFS (root mean square over the whole recording); None for digital silence.
    loudness: float | None
    flac_bytes: int
    flac_sha256: str
    #: Level of each second, as (start, end, dBFS); the minimum is the floor of 16-bit samples.
    levels: tuple[tuple[float, float, float], ...] = ()
    #: Channels of the FLAC: 1 for a mix, more if each is transcribed separately.
    flac_channels: int = 1


@dataclass(frozen=True, slots=True)
class SpeakerLimits:
    """Whether a recording is diarized, and its number of speakers."""

    #: `auto`: if the models are installed; `required`: always, and missing models are an error.
    mode: Literal["off", "auto", "required"] = "auto"
    at_least: int = 1
    #: None: detected.
    at_most: int | None = None


def speaker_limits(text: str) -> SpeakerLimits:
    """Parse `off`, `auto`, a number of speakers such as `2`, or a range such as `2-4`. Raises `InvalidSetting`."""
    if text == "off":
        return SpeakerLimits("off")
    if text == "auto":
        return SpeakerLimits("auto")
    numbers = _SPEAKER_LIMITS.match(text)
    if numbers is None:
        raise InvalidSetting(f"{text!r} is not off, auto, a number of speakers such as 2, or a range such as 2-4")
    at_least, at_most = int(numbers[1]), int(numbers[2] or numbers[1])
    if not 1 <= at_least <= at_most:
        raise InvalidSetting(f"{text!r}: the number of speakers is at least 1, and a range runs from low to high")
    return SpeakerLimits("required", at_least, at_most)


@dataclass(frozen=True, slots=True)
class SpeakerTurn:
    """A stretch in which one speaker talks; turns of different speakers may overlap."""

    #: Seconds from the start of the recording.
    start: float
    end: float
    #: `spk_0`, `spk_1`, … in order of first appearance, or the speaker's name.
    speaker: str


@dataclass(frozen=True, slots=True)
class Speakers:
    """Who speaks when in a recording."""

    recording: str
    #: In order of their start.
    turns: tuple[SpeakerTurn, ...] = ()
    #: Name of the diarization model; empty if none ran.
    model: str = ""
    #: Each channel of the recording holds one speaker.
    by_channel: bool = False
    #: Why the recording was not diarized; None if it was.
    skipped: str | None = None
