"""The Python API: the steps of the platform as functions on files and values, without Dagster or a database.

Import it from the package: `from transcription_dagster import transcribe`. Everything heavy (torch, Whisper, the
Anthropic SDK) is imported by the call that needs it. No function reads the program's settings; `refine` leaves
credentials to the Anthropic SDK.

Where a function takes a transcript, captions or a text, a `pathlib.Path` names a file and a `str` is the content.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from transcription_dagster.captions.cues import make_cues
from transcription_dagster.captions.encodings import decode
from transcription_dagster.captions.file_corrections import correct_file, spoken_text
from transcription_dagster.captions.layout import CaptionLimits
from transcription_dagster.captions.subtitles import (
    CaptionFile,
    CaptionKind,
    caption_kind,
    convert,
    parse_srt,
    parse_vtt,
    refuse_other_formats,
    to_srt,
    to_vtt,
)
from transcription_dagster.errors import (
    InvalidCaptions,
    InvalidRecordingId,
    InvalidSetting,
    InvalidTranscript,
    UnusableAudio,
)
from transcription_dagster.language.codes import whisper_language
from transcription_dagster.model import ChannelMode, SpeechOptions, Term, Transcript, recording_id
from transcription_dagster.refinement.direct import NO_CREDENTIALS, SWITCHED_OFF, refine_directly
from transcription_dagster.refinement.results import Refined, RefinementSettings
from transcription_dagster.settings import Settings
from transcription_dagster.transcripts.amazon_json import read_transcript, write_transcript
from transcription_dagster.transcripts.plain_text import to_text, without_speakers
from transcription_dagster.vocabulary.files import read_vocabulary

if TYPE_CHECKING:
    from transcription_dagster.whisper.engine import SpeechEngine

__all__ = [
    "CaptionLimits",
    "Refined",
    "RefinementSettings",
    "SpeechOptions",
    "Term",
    "Transcript",
    "apply_corrections",
    "format_transcript",
    "refine",
    "transcribe",
]

#: Formats that a transcript can be written in.
TranscriptFormat = Literal["srt", "vtt", "txt", "json"]

_PARSERS = {"srt": parse_srt, "vtt": parse_vtt}
_WRITERS = {"srt": to_srt, "vtt": to_vtt}


def transcribe(
    source: str | PathLike[str],
    *,
    model: str = "medium",
    language: str | None = None,
    device: str | None = None,
    options: SpeechOptions | None = None,
    models_folder: Path | None = None,
    channels: ChannelMode = "auto",
    max_hours: float = 24.0,
    name: str | None = None,
    on_progress: Callable[[float], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> Transcript:
    """Transcribe an audio or video file with Whisper in this process.

    The model stays loaded for later calls with the same device and folder.

    Parameters
    ----------
    source
        Path of a file in any format that FFmpeg decodes.
    model
        Whisper model by name (`tiny` to `large-v3`, `turbo`), or the path of a checkpoint or model folder.
    language
        Spoken language, by code or name (`en`, `English`); None: detected wherever it changes.
    device
        `cpu`, `cuda` or `cuda:N`; None: a GPU if there is one.
    options
        All decoding options; they replace `model` and `language`.
    models_folder
        Folder for downloaded models; None: `~/.transcription/models`, shared with the platform.
    channels
        `split` transcribes each channel separately, `mix` mixes them; `auto` splits channels that hold different
        voices, as in a call, and mixes others.
    max_hours
        Longer recordings are refused.
    name
        Name of the source in error messages; None: its path.
    on_progress
        Called after each window with the fraction that is done, 0 to 1.
    on_warning
        Called with each remark about the recording (damage, the selected track, text removed as a hallucination);
        None: remarks are issued with `warnings.warn`.

    Returns
    -------
    Transcript
        Words with start and end in seconds. If channels are transcribed separately, the speaker is the channel
        (`ch_0`). `recording` is the UUID in the file's name, or empty.

    Raises
    ------
    SourceNotFound, UnusableAudio
        The file does not exist, or contains no audio that can be decoded.
    UnknownModel, ModelUnavailable
        The model does not exist, or cannot be downloaded at the moment.
    InvalidSetting
        The language is unknown or not supported by the model, or `channels` is not one of the three.
    OutOfMemory, DeviceBroken
        The device cannot hold the model, or failed.
    """
    from transcription_dagster.audio.container import open_source
    from transcription_dagster.whisper.recordings import transcribe_file

    if channels not in get_args(ChannelMode):
        raise InvalidSetting(f"{channels!r} is not a channel mode: use {', '.join(get_args(ChannelMode))}")
    chosen = options or SpeechOptions(model, language=language)
    chosen = replace(chosen, language=whisper_language(chosen.language))
    path = Path(source)
    # A missing or empty file is refused before a model is loaded or downloaded.
    with open_source(path):
        pass
    engine = _engine(device, models_folder or Path.home() / ".transcription" / "models")
    engine.load(chosen.model, chosen.engine)
    with _errors_named(name or str(path)):
        transcript, facts = transcribe_file(
            engine,
            path,
            chosen,
            recording=_recording(path),
            name=name or str(path),
            channels=channels,
            max_seconds=max_hours * 3600,
            on_progress=on_progress or (lambda _share: None),
        )
    on_warning = on_warning or partial(warnings.warn, stacklevel=2)
    for warning in [*filter(None, [facts.track, facts.channels_note]), *facts.warnings, *_notes(transcript)]:
        on_warning(warning)
    return transcript


def format_transcript(
    transcript: Transcript | Path | str | bytes, to: TranscriptFormat = "srt", *, limits: CaptionLimits | None = None
) -> str:
    r"""Return a transcript as captions, text or JSON.

    Parameters
    ----------
    transcript
        A transcript, the path of a `transcript.json` of this program or of Amazon Transcribe, or its content.
    to
        `srt` (SubRip), `vtt` (WebVTT), `txt` (paragraphs) or `json` (Amazon Transcribe's layout).
    limits
        Limits of a caption; None: two lines of 42 columns, 5/6 to 7 s, 20 characters a second.

    Raises
    ------
    InvalidTranscript
        The content is not a transcript; the message gives the position.
    InvalidSetting
        `to` is not a format.

    Examples
    --------
    >>> from transcription_dagster import Transcript, format_transcript
    >>> from transcription_dagster.model import Word
    >>> words = (Word("Mind", 0.5, 0.8), Word("the", 0.8, 0.9), Word("gap.", 0.9, 1.4))
    >>> print(format_transcript(Transcript("", words)))
    1
    00:00:00,500 --> 00:00:01,400
    Mind the gap.
    <BLANKLINE>
    >>> format_transcript(Transcript("", words), "txt")
    'Mind the gap.\n'
    """
    value = _transcript(transcript)
    if to in ("srt", "vtt"):
        return _WRITERS[to](make_cues(value.words, limits, duration=value.duration))
    if to == "txt":
        return to_text(value)
    if to == "json":
        return write_transcript(value) + "\n"
    raise InvalidSetting(f"{to!r} is not a format: use {', '.join(get_args(TranscriptFormat))}")


def refine(
    transcript: Transcript | Path | str | bytes,
    vocabulary: Sequence[Term] | Path = (),
    *,
    claude: bool = True,
    settings: RefinementSettings | None = None,
) -> Refined:
    """Correct a transcript with a vocabulary and with Claude, whose edits are checked before they are applied.

    Parameters
    ----------
    transcript
        As for `format_transcript`.
    vocabulary
        Terms, or the path of a YAML or CSV file with terms.
    claude
        Whether to call Claude. If False, or without credentials, only the vocabulary is applied, and `status` says so.
    settings
        Model, effort and budget in dollars; None: the program's defaults.

    Returns
    -------
    Refined
        The corrected text and words, the applied edits, the dropped edits with their reasons, and Claude's cost.

    Raises
    ------
    InvalidTranscript, InvalidVocabulary
        An input cannot be read.
    RefinementUnavailable, RefinementFailed, SpendLimitReached
        Claude cannot be reached, refused the request, or has reached the spend limit.

    Examples
    --------
    >>> from transcription_dagster import Term, Transcript, refine
    >>> from transcription_dagster.model import Word
    >>> words = (Word("We", 0.0, 0.2), Word("run", 0.2, 0.4), Word("cooper", 0.4, 0.8), Word("netties.", 0.8, 1.2))
    >>> refined = refine(Transcript("", words), [Term("Kubernetes", ("cooper netties",))], claude=False)
    >>> refined.text, str(refined.status)
    ('We run Kubernetes.\\n', 'vocabulary-only')
    """
    chosen = settings or RefinementSettings(Settings.model_fields["claude_model"].default)
    terms = read_vocabulary(vocabulary) if isinstance(vocabulary, Path) else _terms(vocabulary)
    value = _transcript(transcript)
    if not claude:
        return refine_directly(value, terms, None, chosen, without_client=SWITCHED_OFF)
    from transcription_dagster.refinement.accounts import price_of
    from transcription_dagster.refinement.claude import connect

    return refine_directly(value, terms, connect(), chosen, price=price_of(chosen.model), without_client=NO_CREDENTIALS)


def apply_corrections(captions: Path | str, corrected: Path | str, *, to: CaptionKind | None = None) -> str:
    r"""Apply a corrected text to captions, without changing their times.

    Only words that differ change; markup, settings, notes, numbers and line endings stay.

    Parameters
    ----------
    captions
        SubRip or WebVTT.
    corrected
        Plain text, with or without speakers' names, SubRip or WebVTT.
    to
        `srt` or `vtt`; None: the format of `captions`. Another format keeps times, texts, bold, italic and underline.

    Raises
    ------
    InvalidCaptions
        The captions cannot be read; the message names the line.
    UnrelatedText
        The text has too little in common with the captions.
    InvalidSetting
        `to` is not a format.

    Examples
    --------
    >>> from transcription_dagster import apply_corrections
    >>> srt = "1\n00:00:01,000 --> 00:00:03,000\n<i>Welcome</i> to cooper netties.\n"
    >>> print(apply_corrections(srt, "Welcome to Kubernetes."))
    1
    00:00:01,000 --> 00:00:03,000
    <i>Welcome</i> to Kubernetes.
    <BLANKLINE>
    """
    if to is not None and to not in _PARSERS:
        raise InvalidSetting(f"{to!r} is not a format of captions: use {', '.join(_PARSERS)}")
    source = _text(captions)
    kind = caption_kind(source) or "srt"
    with _errors_named(str(captions) if isinstance(captions, Path) else "the captions"):
        refuse_other_formats(source)
        parsed = _PARSERS[kind](source)
    with _errors_named(str(corrected) if isinstance(corrected, Path) else "the corrected text"):
        spoken = _spoken(_text(corrected), parsed)
    result = correct_file(parsed, spoken)
    return result if to in (None, kind) else convert(_PARSERS[kind](result), to)


@lru_cache(maxsize=1)
def _engine(device: str | None, models_folder: Path) -> SpeechEngine:
    import torch

    from transcription_dagster.whisper.engine import SpeechEngine

    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return SpeechEngine(chosen, models_folder=models_folder)


def _recording(source: Path) -> str:
    """Return the UUID in the file's name; empty if there is none."""
    try:
        return recording_id(source.stem.lower())
    except InvalidRecordingId:
        return ""


def _notes(transcript: Transcript) -> Iterator[str]:
    for removed in transcript.removed:
        instead = f"; instead: {removed.instead}" if removed.instead else ""
        yield f"left out {removed.start:.1f} s to {removed.end:.1f} s ({removed.reason}): {removed.text}{instead}"
    for doubtful in transcript.doubtful:
        yield f"in doubt {doubtful.start:.1f} s to {doubtful.end:.1f} s: {doubtful.text}"
    for gap in transcript.gaps:
        yield f"speech without words {gap.start:.1f} s to {gap.end:.1f} s"
    if not transcript.words:
        yield "no speech was found in this recording"


def _transcript(value: Transcript | Path | str | bytes) -> Transcript:
    if isinstance(value, Transcript):
        return value
    _check_type(value, (Path, str, bytes), "a transcript is a Transcript, a pathlib.Path or a document")
    if not isinstance(value, Path):
        return read_transcript(value, recording="")
    with _errors_named(str(value)):
        return read_transcript(value.read_bytes(), recording="")


def _terms(values: Sequence[Term]) -> Sequence[Term]:
    expected = "a vocabulary is a pathlib.Path or a sequence of Term"
    _check_type(values, Sequence, expected)
    for term in values:
        _check_type(term, Term, expected)
        _check_type(term.variants, (tuple, list), f"the variants of {term.text!r} are a tuple of texts")
    return values


@contextmanager
def _errors_named(source: str) -> Iterator[None]:
    """Begin the messages of unreadable sources with the source's name."""
    try:
        yield
    except (UnusableAudio, InvalidTranscript, InvalidCaptions) as error:
        raise type(error)(f"{source}: {error}") from error


def _check_type(value: object, kinds: type | tuple[type, ...], expected: str) -> None:
    """Raise `TypeError` with the expected type: notebooks have no type checker."""
    if not isinstance(value, kinds):
        raise TypeError(f"{expected}, not {type(value).__name__}")


def _text(value: Path | str) -> str:
    _check_type(value, (Path, str), "captions and texts are a pathlib.Path or a str")
    return decode(value.read_bytes()).text if isinstance(value, Path) else value


def _spoken(text: str, captions: CaptionFile) -> str:
    """Return the spoken text of a correction, without speakers' names unless the captions contain names too."""
    refuse_other_formats(text)
    kind = caption_kind(text)
    if kind:
        return spoken_text(_PARSERS[kind](text))
    bare = without_speakers(text)
    name = text.lstrip().partition(":")[0]
    return text if bare != text and f"{name}:".casefold() in spoken_text(captions).casefold() else bare
