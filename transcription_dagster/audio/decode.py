"""Recordings of any format to the one that the rest of the program reads: 16 kHz mono 16-bit FLAC."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import av
import numpy as np

from transcription_dagster.audio.container import AudioTrack, HashingReader, open_container, open_source
from transcription_dagster.audio.formats import Opening, openings
from transcription_dagster.audio.mixing import SAMPLE_RATE
from transcription_dagster.audio.riff import missing_bytes
from transcription_dagster.audio.tracks import TrackChoice, track_choices
from transcription_dagster.errors import UnusableAudio

#: A header is believed to this share of its claim; encoders pad and trim.
_CLAIM_TOLERANCE = 0.01
_CLAIM_TOLERANCE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """What a source was found to be while it was decoded."""

    codec: str
    #: Samples per second of the source.
    sample_rate: int
    channels: int
    #: Length of what really decoded.
    seconds: float
    #: Root mean square over the whole recording in dBFS; None for digital silence.
    loudness: float | None
    #: SHA-256 of the original file, hexadecimal.
    source_sha256: str
    source_bytes: int
    flac_bytes: int
    #: Which of several audio tracks was used, and why; empty where there is one.
    track: str = ""
    #: What was wrong with the source although it could be used, one sentence each.
    warnings: tuple[str, ...] = ()


def normalise(
    source: Path, target: Path, *, max_seconds: float, name: str = "", language: str | None = None
) -> AudioFacts:
    """Decode anything PyAV reads to 16 kHz mono 16-bit FLAC at `target`, in bounded memory.

    `name` is what the source was called where it came from, if `source` is not: formats without a header are told by
    it. Of several audio tracks the one in `language` is preferred, and one that decodes to one that does not.
    The target appears whole or not at all. Of a damaged source what decodes is kept, and a warning says so.
    Raises `SourceNotFound`, or `UnusableAudio` if the source is empty, not media, without audio, without anything
    that decodes, or longer than `max_seconds`.
    """
    with open_source(source) as reader, _written_atomically(target) as partial:
        decoded = _decode_best(reader, name or source.name, language, partial, max_seconds)
        sha256, size = reader.finish()
        track = decoded.tracks[0]
        missing = missing_bytes(reader.head, size)
        return AudioFacts(
            codec=track.codec,
            sample_rate=track.sample_rate,
            channels=sum(each.channels for each in decoded.tracks),
            seconds=decoded.meter.seconds,
            loudness=decoded.meter.loudness,
            source_sha256=sha256,
            source_bytes=size,
            flac_bytes=partial.stat().st_size,
            track=decoded.choice.note,
            warnings=(*decoded.notes, *_warnings(decoded.tracks, decoded.claimed, decoded.meter.seconds, missing)),
        )


def read_blocks(path: Path, block_seconds: float) -> Iterator[np.ndarray]:
    """Yield a recording as float32 arrays of shape (samples,) in [-1, 1], 16 kHz mono, `block_seconds` each.

    The last block holds the rest. Raises what `normalise` raises.
    """
    size = max(1, round(block_seconds * SAMPLE_RATE))
    with open_source(path) as reader, open_container(reader, Opening()) as container:
        choice = track_choices(container, None)[0]
        for block in _in_blocks(AudioTrack(container, choice.indexes[0]).samples(), size):
            yield block.astype(np.float32) / 32768.0


def claimed_seconds(path: Path) -> float | None:
    """Length of a recording as its header claims it, without decoding; exact for what `normalise` wrote."""
    with open_source(path) as reader, open_container(reader, Opening()) as container:
        return AudioTrack(container, track_choices(container, None)[0].indexes[0]).claimed_seconds


@dataclass(frozen=True, slots=True)
class _Decoded:
    """What became of one way to read a source."""

    tracks: tuple[AudioTrack, ...]
    choice: TrackChoice
    meter: _Meter
    claimed: float | None
    notes: tuple[str, ...]

    @property
    def mostly_damaged(self) -> bool:
        return any(track.damaged > track.decoded for track in self.tracks)


def _decode_best(reader: HashingReader, name: str, language: str | None, target: Path, max_seconds: float) -> _Decoded:
    """Write the first way to read the source that gives sound; raises `UnusableAudio` when none does."""
    failures: list[UnusableAudio] = []
    for opening in openings(name, reader.beginning()):
        skipped = f"the first {opening.offset} bytes of the source are not audio and were skipped"
        notes = (skipped,) if opening.offset else ()
        try:
            return _decode_opening(reader, opening, language, target, max_seconds, notes)
        except TooLong:
            raise
        except UnusableAudio as error:
            failures.append(error)
    raise failures[0]


def _decode_opening(
    reader: HashingReader,
    opening: Opening,
    language: str | None,
    target: Path,
    max_seconds: float,
    notes: tuple[str, ...],
) -> _Decoded:
    """Write the best tracks of one opening that have sound; mostly damaged ones only where there are no others."""
    with open_container(reader, opening) as container:
        choices = track_choices(container, language)
    damaged: TrackChoice | None = None
    codecs: set[str] = set()
    for choice in choices:
        decoded = _decode_choice(reader, opening, choice, target, max_seconds, notes)
        if decoded.meter.samples and not decoded.mostly_damaged:
            return decoded
        if decoded.meter.samples:
            damaged = damaged or choice
        codecs |= {track.codec for track in decoded.tracks}
        notes = (*notes, f"passed over, because most of it cannot be decoded: {choice.note}")
    if damaged is None:
        raise UnusableAudio(f"no audio could be decoded from the source's {' and '.join(sorted(codecs))} stream")
    return _decode_choice(reader, opening, damaged, target, max_seconds, notes[: -len(choices)])


def _decode_choice(
    reader: HashingReader,
    opening: Opening,
    choice: TrackChoice,
    target: Path,
    max_seconds: float,
    notes: tuple[str, ...],
) -> _Decoded:
    meter = _Meter(max_seconds)
    with ExitStack() as stack:
        tracks = []
        for index in choice.indexes:
            # Each track is read on its own: they need not lie side by side in the file.
            file = reader if not tracks else stack.enter_context(reader.again())
            tracks.append(AudioTrack(stack.enter_context(open_container(file, opening)), index))
        claimed = max((track.claimed_seconds for track in tracks if track.claimed_seconds), default=None)
        blocks = [_in_blocks(track.samples(), SAMPLE_RATE) for track in tracks]
        _write_flac(target, meter.watch(_mixed(blocks)))
    return _Decoded(tuple(tracks), choice, meter, claimed, notes)


def _mixed(tracks: Sequence[Iterator[np.ndarray]]) -> Iterator[np.ndarray]:
    """Mix tracks that are cut into blocks of one size; a track that ends early is silent from there on."""
    if len(tracks) == 1:
        yield from tracks[0]
        return
    for blocks in zip_longest(*tracks, fillvalue=np.zeros(0, np.int16)):
        total = np.zeros(max(block.size for block in blocks), np.int32)
        for block in blocks:
            total[: block.size] += block
        yield (total // len(tracks)).astype(np.int16)


class TooLong(UnusableAudio):
    """The recording is longer than the limit."""


class _Meter:
    """Measures the samples that pass, and stops a stream that is too long."""

    def __init__(self, max_seconds: float) -> None:
        self._max_seconds = max_seconds
        self._squares = 0.0
        self.samples = 0

    def watch(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            self.samples += block.size
            if self.seconds > self._max_seconds:
                raise TooLong(f"the recording is longer than the limit of {self._max_seconds / 3600:g} hours")
            self._squares += float(np.square(block, dtype=np.float64).sum())
            yield block

    @property
    def seconds(self) -> float:
        return self.samples / SAMPLE_RATE

    @property
    def loudness(self) -> float | None:
        if self._squares == 0:
            return None
        return 10 * math.log10(self._squares / self.samples / 32768.0**2)


def _in_blocks(parts: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Re-cut a stream of arrays into arrays of `size`, the last one shorter."""
    waiting: list[np.ndarray] = []
    held = 0
    for part in parts:
        waiting.append(part)
        held += part.size
        if held >= size:
            joined = np.concatenate(waiting)
            whole = held - held % size
            yield from joined[:whole].reshape(-1, size)
            waiting, held = [joined[whole:]], held - whole
    if held:
        yield np.concatenate(waiting)


def _write_flac(path: Path, blocks: Iterable[np.ndarray]) -> None:
    with av.open(str(path), mode="w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, options={"compression_level": "5"})
        stream.codec_context.layout = "mono"
        stream.codec_context.format = "s16"
        for block in blocks:
            frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@contextmanager
def _written_atomically(target: Path) -> Iterator[Path]:
    """Give a path beside `target` that replaces it when all went well, and vanishes when not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".part")
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _warnings(tracks: Sequence[AudioTrack], claimed: float | None, seconds: float, missing: int) -> Iterator[str]:
    """Say what was wrong with a source of `seconds` whose header `claimed` a length and which lacks bytes."""
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
