"""Decoding of recordings in any format to 16 kHz 16-bit FLAC, the format that the rest of the program reads.

The FLAC has one channel, or several if these hold different voices.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np

from transcription_dagster.atomic_files import replacing
from transcription_dagster.audio.channels import ChannelChoice, ChannelMeter, DetectVoice, choose_channels
from transcription_dagster.audio.container import (
    AudioTrack,
    HashingReader,
    open_container,
    open_source,
)
from transcription_dagster.audio.flac import MAX_CHANNELS, FlacWriter, in_blocks, read_blocks, read_channels
from transcription_dagster.audio.formats import Opening, missing_bytes, openings
from transcription_dagster.audio.mixing import SAMPLE_RATE
from transcription_dagster.audio.track_choice import TrackChoice, track_choices
from transcription_dagster.errors import UnusableAudio
from transcription_dagster.model import ChannelMode

#: A header's length counts as correct down to this share, because encoders pad and trim.
_CLAIM_TOLERANCE = 0.01
_CLAIM_TOLERANCE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """Facts about a source, found while it was decoded."""

    codec: str
    #: Samples per second of the source.
    sample_rate: int
    channels: int
    #: Length of the decoded audio in seconds.
    seconds: float
    #: Root mean square over the whole recording in dBFS; None for digital silence.
    loudness: float | None
    #: SHA-256 of the original file, hexadecimal.
    source_sha256: str
    source_bytes: int
    flac_bytes: int
    #: The selected audio track and the reason; empty if there is only one.
    track: str = ""
    #: Channels of the FLAC: 1 for a mix, more if each is transcribed separately.
    flac_channels: int = 1
    #: Why the channels are mixed or kept apart; empty if the source has one.
    channels_note: str = ""
    #: Problems of the source that did not prevent its use, one sentence each.
    warnings: tuple[str, ...] = ()


def normalise(
    source: Path,
    target: Path,
    *,
    max_seconds: float,
    name: str = "",
    language: str | None = None,
    channels: ChannelMode = "mix",
    detect_voice: DetectVoice | None = None,
) -> AudioFacts:
    """Decode anything that PyAV reads to 16 kHz 16-bit FLAC at `target`, in bounded memory.

    `name` is the original name of the source if `source` has another one: formats without a header are recognised by
    it. Of several audio tracks, one in `language` is preferred, and one that decodes over one that does not. `channels`
    says whether several channels are mixed or kept apart; `auto` requires `detect_voice`. The target is written
    atomically. Of a damaged source, everything that can be decoded is kept, with a warning. Raises `SourceNotFound`, or
    `UnusableAudio` if the source is empty, is not media, contains no audio that can be decoded, or is longer than
    `max_seconds`.
    """
    with (
        open_source(source) as reader,
        replacing(target) as target_file,
        tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", suffix=".part") as separate_file,
    ):
        mix, separate = Path(target_file.name), Path(separate_file.name)
        targets = _Targets(mix, None if channels == "mix" else separate)
        decoded = _decode_best(reader, name or source.name, language, targets, max_seconds)
        choice = _choice(decoded, channels, separate, detect_voice)
        if choice.separate:
            _write_channels(separate, choice.separate, mix)
        return _facts(reader, decoded, choice, flac_bytes=mix.stat().st_size)


@dataclass(frozen=True, slots=True)
class _Decoded:
    """The result of one way to decode a source."""

    tracks: tuple[AudioTrack, ...]
    choice: TrackChoice
    meter: _Meter
    #: The channels' contents; None if there is one, or if they are mixed without examination.
    channels: ChannelMeter | None
    claimed: float | None
    notes: tuple[str, ...]

    @property
    def mostly_damaged(self) -> bool:
        return any(track.damaged > track.decoded for track in self.tracks)


def _facts(reader: HashingReader, decoded: _Decoded, choice: ChannelChoice, *, flac_bytes: int) -> AudioFacts:
    """Read the rest of the source, and return what was found in it."""
    sha256, size = reader.finish()
    missing = missing_bytes(reader.head, size)
    return AudioFacts(
        codec=decoded.tracks[0].codec,
        sample_rate=decoded.tracks[0].sample_rate,
        channels=sum(track.channels for track in decoded.tracks),
        seconds=decoded.meter.seconds,
        loudness=decoded.meter.loudness,
        source_sha256=sha256,
        source_bytes=size,
        flac_bytes=flac_bytes,
        track=decoded.choice.note,
        flac_channels=max(1, len(choice.separate)),
        channels_note=choice.reason,
        warnings=(*decoded.notes, *_warnings(decoded.tracks, decoded.claimed, decoded.meter.seconds, missing)),
    )


@dataclass(frozen=True, slots=True)
class _Targets:
    """The files that the audio is written to."""

    mix: Path
    #: All channels of a source with several; None if they are only mixed.
    separate: Path | None


def _decode_best(
    reader: HashingReader, name: str, language: str | None, targets: _Targets, max_seconds: float
) -> _Decoded:
    """Write the result of the first way to decode the source that gives audio. Raises `UnusableAudio` if none does."""
    failures: list[UnusableAudio] = []
    is_longer = reader.has_audio_beyond_header()
    for opening in openings(name, reader.beginning()):
        skipped = f"the first {opening.offset} bytes of the source are not audio and were skipped"
        notes = (skipped,) if opening.offset else ()
        if is_longer and not opening.offset and opening.format is None:
            opening = replace(opening, options={"ignore_length": "1"})
            notes = ("the source holds more sound than its header says; all of it was read",)
        try:
            return _decode_opening(reader, opening, language, targets, max_seconds, notes)
        except _TooLong:
            raise
        except UnusableAudio as error:
            failures.append(error)
    raise failures[0]


def _decode_opening(
    reader: HashingReader,
    opening: Opening,
    language: str | None,
    targets: _Targets,
    max_seconds: float,
    notes: tuple[str, ...],
) -> _Decoded:
    """Write the best decodable tracks of one opening; badly damaged ones only if there are no others."""
    with open_container(reader, opening) as container:
        choices = track_choices(container, language)
    damaged: TrackChoice | None = None
    codecs: set[str] = set()
    passed_over: list[str] = []
    for choice in choices:
        decoded = _decode_choice(reader, opening, choice, targets, max_seconds, (*notes, *passed_over))
        if decoded.meter.samples and not decoded.mostly_damaged:
            return decoded
        if decoded.meter.samples:
            damaged = damaged or choice
        codecs |= {track.codec for track in decoded.tracks}
        passed_over.append(f"passed over, because most of it cannot be decoded: {choice.note}")
    if damaged is None:
        raise UnusableAudio(f"no audio could be decoded from the source's {' and '.join(sorted(codecs))} stream")
    return _decode_choice(reader, opening, damaged, targets, max_seconds, notes)


def _decode_choice(
    reader: HashingReader,
    opening: Opening,
    choice: TrackChoice,
    targets: _Targets,
    max_seconds: float,
    notes: tuple[str, ...],
) -> _Decoded:
    meter = _Meter(max_seconds)
    with ExitStack() as stack:
        tracks = []
        for index in choice.indexes:
            # Each track is read separately, because tracks need not be interleaved in the file.
            file = reader if not tracks else stack.enter_context(reader.reopened())
            container = stack.enter_context(open_container(file, opening))
            tracks.append(AudioTrack(container, index, keep_channels=targets.separate is not None))
        claimed = max((track.claimed_seconds for track in tracks if track.claimed_seconds), default=None)
        blocks = _mixed([in_blocks(track.samples(), SAMPLE_RATE) for track in tracks])
        channels = _write(blocks, targets, meter, sum(track.channels for track in tracks))
    return _Decoded(tuple(tracks), choice, meter, channels, claimed, notes)


def _write(blocks: Iterator[np.ndarray], targets: _Targets, meter: _Meter, count: int) -> ChannelMeter | None:
    """Write the mix and, if channels may be kept apart, all `count` channels; return the channels' contents."""
    with FlacWriter(targets.mix, 1) as mix:
        if targets.separate is None or not 2 <= count <= MAX_CHANNELS:
            for block in meter.watch(blocks):
                mix.write(block[:1])
            return None
        channels = ChannelMeter(count)
        with FlacWriter(targets.separate, count) as separate:
            for block in meter.watch(blocks):
                mix.write(block[:1])
                separate.write(block[1:])
                channels.add(block[1:])
        return channels


def _choice(decoded: _Decoded, mode: ChannelMode, separate: Path, detect_voice: DetectVoice | None) -> ChannelChoice:
    """Return the channels to keep apart; none if they are mixed."""
    count = sum(track.channels for track in decoded.tracks)
    if count == 1:
        return ChannelChoice()
    if decoded.channels is None:
        why = "as TRANSCRIPTION_CHANNELS or the worklist says" if mode == "mix" else f"more than {MAX_CHANNELS}"
        return ChannelChoice(reason=f"the {count} channels are mixed: {why}")
    return choose_channels(
        decoded.channels.measurements(),
        mode,
        read=lambda channel, seconds: read_blocks(separate, seconds, channel),
        detect_voice=detect_voice,
    )


def _write_channels(source: Path, kept: Sequence[int], target: Path) -> None:
    """Write selected channels of the FLAC that contains all of them."""
    with FlacWriter(target, len(kept)) as flac:
        for block in read_channels(source, 1.0):
            flac.write(block[list(kept)])


def _mixed(tracks: Sequence[Iterator[np.ndarray]]) -> Iterator[np.ndarray]:
    """Mix tracks that are cut into blocks of one size; a track that ends early is silent from there on.

    Several tracks are mono. Row 0 is their mix, and the other rows are the tracks.
    """
    if len(tracks) == 1:
        yield from tracks[0]
        return
    for blocks in zip_longest(*tracks):
        size = max(block.shape[1] for block in blocks if block is not None)
        rows = np.zeros((1 + len(tracks), size), np.int16)
        for row, block in enumerate(blocks, start=1):
            if block is not None:
                rows[row, : block.shape[1]] = block[0]
        rows[0] = rows[1:].sum(axis=0, dtype=np.int32) // len(tracks)
        yield rows


class _TooLong(UnusableAudio):
    """The recording is longer than the limit."""


class _Meter:
    """Measures the samples that pass through, and stops a stream that is too long."""

    def __init__(self, max_seconds: float) -> None:
        self._max_seconds = max_seconds
        self._squares = 0.0
        self.samples = 0

    def watch(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            self.samples += block.shape[1]
            if self.seconds > self._max_seconds:
                raise _TooLong(f"the recording is longer than the limit of {self._max_seconds / 3600:g} hours")
            self._squares += float(np.square(block[0], dtype=np.float64).sum())
            yield block

    @property
    def seconds(self) -> float:
        return self.samples / SAMPLE_RATE

    @property
    def loudness(self) -> float | None:
        if self._squares == 0:
            return None
        return 10 * math.log10(self._squares / self.samples / 32768.0**2)


def _warnings(tracks: Sequence[AudioTrack], claimed: float | None, seconds: float, missing: int) -> Iterator[str]:
    """Return warnings about a source of `seconds` whose header `claimed` a length and that lacks bytes."""
    cut_short = next((track.cut_short for track in tracks if track.cut_short is not None), None)
    if cut_short is not None:
        yield f"the source breaks off after {seconds:.1f} s ({cut_short})"
    elif missing:
        yield f"the source is truncated: {missing} bytes are missing at its end"
    elif claimed is not None and claimed - seconds > max(_CLAIM_TOLERANCE_SECONDS, claimed * _CLAIM_TOLERANCE):
        yield f"the source claims {claimed:.1f} s, but only {seconds:.1f} s could be decoded"
    if damaged := sum(track.damaged for track in tracks):
        yield f"damaged packets were skipped: {damaged}"
    if holes := [hole for track in tracks for hole in track.holes]:
        yield f"silence stands for {sum(holes):.1f} s of sound that is missing (holes: {len(holes)})"
    if overlap := sum(track.overlapping_seconds for track in tracks):
        yield f"{overlap:.1f} s of sound were cut where the source's time stamps overlap"
    if opposite := sum(track.opposite_phase_seconds for track in tracks):
        yield (
            f"the two channels are in opposite phase for {opposite:.1f} s and cancel each other when mixed; "
            "their difference was used there"
        )
