"""The values that cross the boundaries of the program: frozen, typed, free of any library."""

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

#: `mix`: the channels of a recording become one; `split`: each is transcribed by itself; `auto`: what the sound asks
#: for.
ChannelMode = Literal["auto", "mix", "split"]

#: Namespace of the UUIDv5 given to a recording whose file is not named by a UUID.
RECORDING_NAMESPACE = uuid.NAMESPACE_URL


def recording_id(text: object) -> str:
    """Return `text` if it is a canonical lower-case UUID, as partition keys and folder names are.

    Raises `InvalidRecordingId` for everything else, so that no other text reaches a path, URL or query.
    """
    if not isinstance(text, str) or not _CANONICAL_UUID.match(text):
        raise InvalidRecordingId(f"{text!r} is not a canonical lower-case UUID, such as {uuid.UUID(int=0)}")
    return text


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word as it is displayed, with the punctuation that follows it."""

    text: str
    #: Seconds from the start of the recording.
    start: float
    end: float
    #: Probability that the word was said, 0 to 1.
    confidence: float = 1.0
    #: Written without a space before it, as "-five" in "twenty-five", or any word of a script without spaces.
    glued: bool = False
    speaker: str | None = None
    #: ISO 639-1 or BCP 47; None: the transcript's.
    language: str | None = None
    #: A person wrote it.
    corrected: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of speech as the model decoded it: words `first` up to, not including, `stop`."""

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
    """Text that the model claimed and that was left out, and why."""

    start: float
    end: float
    text: str
    reason: str
    #: Who said that it was not said (see `speech.evidence`).
    witnesses: tuple[str, ...] = ()
    #: What a second hearing put in its place.
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
    """A stretch of speech in which the model found no words, twice."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in a recording, word by word."""

    recording: str
    words: tuple[Word, ...]
    segments: tuple[Segment, ...] = ()
    #: ISO 639-1 code, or BCP 47 where the source says more; of several, the one most is said in.
    language: str = "en"
    #: Length of the recording in seconds.
    duration: float = 0.0
    #: The model's name; empty when another service made the transcript.
    model: str = ""
    #: The decoding options that were really used.
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    removed: tuple[RemovedSpeech, ...] = ()
    doubtful: tuple[DoubtfulSpeech, ...] = ()
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class Cue:
    """One caption: times in whole milliseconds, the lines shown, and the words they hold."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    #: The transcript's words `first` up to, not including, `stop`; both 0 when the cue was read from a file.
    first: int = 0
    stop: int = 0
    #: Who speaks: one for the whole cue, or one for each line; none where that is not known.
    speakers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Term:
    """A vocabulary entry: how it is written, and how it may have been heard."""

    text: str
    variants: tuple[str, ...] = ()
    category: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Edit:
    """A replacement of the words `first` to `last`, both included, that echoes what it replaces."""

    first: int
    last: int
    old: str
    new: str
    kind: str


#: What runs a model: PyTorch as openai-whisper does, or CTranslate2 as faster-whisper does.
SpeechEngineName = Literal["openai-whisper", "faster-whisper"]
OPENAI_WHISPER: Final = "openai-whisper"
FASTER_WHISPER: Final = "faster-whisper"


@dataclass(frozen=True, slots=True)
class SpeechOptions:
    """How a recording is decoded. Most fields are parameters of Whisper's `transcribe` by the same meaning."""

    model: str
    #: None: told from the speech itself, and again wherever it changes.
    language: str | None = None
    #: The languages that may be spoken; none: any.
    languages: tuple[str, ...] = ()
    initial_prompt: str | None = None
    beam_size: int | None = None
    #: Tried in turn while the result looks wrong.
    temperatures: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    condition_on_previous_text: bool = True
    #: Remove hallucinations: text where there is no speech, and decoding loops.
    remove_invented_speech: bool = True
    #: Never chosen by the program itself: the two do not give quite the same words.
    engine: SpeechEngineName = OPENAI_WHISPER


@dataclass(frozen=True, slots=True)
class Audio:
    """The normalised audio of a recording (16 kHz mono FLAC in the store), and what it was made from."""

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
    #: Level of each second, as (start, end, dBFS); silence is at the floor of 16-bit samples.
    levels: tuple[tuple[float, float, float], ...] = ()
    #: Channels of the FLAC: 1 for the mix, more where each is transcribed by itself.
    flac_channels: int = 1


@dataclass(frozen=True, slots=True)
class SpeakerLimits:
    """Whether the speakers of a recording are told apart, and how many there are."""

    #: `auto`: where the models are installed; `required`: everywhere, and it is an error if the models cannot be had.
    mode: Literal["off", "auto", "required"] = "auto"
    at_least: int = 1
    #: None: as many as are heard.
    at_most: int | None = None


def speaker_limits(text: str) -> SpeakerLimits:
    """Read `off`, `auto`, a number of speakers such as `2`, or a range such as `2-4`. Raises `InvalidSetting`."""
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
    #: `spk_0`, `spk_1`, … in the order in which the speakers are first heard, or the speaker's name.
    speaker: str


@dataclass(frozen=True, slots=True)
class Speakers:
    """Who speaks when in a recording."""

    recording: str
    #: In order of their start.
    turns: tuple[SpeakerTurn, ...] = ()
    #: Name of what told the speakers apart; empty where nothing did.
    model: str = ""
    #: Each channel of the recording holds one speaker.
    by_channel: bool = False
    #: Why the speakers were not told apart; None where they were.
    skipped: str | None = None
