from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import pytest

from transcription_dagster.audio.flac import sound_peaks
from transcription_dagster.captions.cues import make_cues
from transcription_dagster.captions.subtitles import to_srt, to_vtt
from transcription_dagster.database.connection import Engine, open_database
from transcription_dagster.database.publications import Publication, Warned, publish
from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.model import Edit, Transcript, Word
from transcription_dagster.search.index import EmbeddedChunk, EmbeddingModel, replace_chunks
from transcription_dagster.store.object_store import ObjectStore
from transcription_dagster.transcripts.amazon_json import write_transcript
from transcription_dagster.transcripts.plain_text import join_paragraphs, join_words, paragraph_starts
from transcription_dagster.transcripts.reading import SignedEdit, reading_of, write_reading
from transcription_dagster.transcripts.word_edits import correct_words
from transcription_dagster_tests.postgres import cloned_database
from transcription_dagster_tests.web.conftest import Site

MODEL = EmbeddingModel("test", 3)


@dataclass(frozen=True)
class Library:
    """An archive of recordings, and the application that shows it."""

    site: Site
    engine: Engine
    store: ObjectStore
    folder: Path

    def add(
        self,
        uuid: str,
        title: str | None,
        words: Sequence[Word],
        *,
        language: str = "en",
        recorded: datetime = datetime(2026, 5, 4, tzinfo=UTC),
        edits: Sequence[SignedEdit] = (),
        warnings: Sequence[Warned] = (),
        **more: object,
    ) -> Transcript:
        """Register, transcribe and publish a recording whose audio is a tone."""
        duration = words[-1].end + 0.5 if words else 1.0
        transcript = Transcript(uuid, tuple(words), language=language, duration=duration, model="small", **more)  # type: ignore[arg-type]
        register(self.engine, [Recording(uuid, f"file:///archive/{uuid}.mp3", title, modified=recorded)])
        sound = tone(self.folder, min(duration, 120.0))
        reading = reading_of(transcript, edits)
        refined_words = correct_words(transcript.words, [Edit(e.first, e.last, e.old, e.new, e.kind) for e in edits])
        paragraphs = join_paragraphs(refined_words, paragraph_starts(refined_words))
        cues = make_cues(refined_words, duration=duration)
        files = {
            "transcript.json": write_transcript(transcript).encode(),
            "reading.json": write_reading(reading),
            # As refinement writes it: without the speakers' names.
            "refined.txt": paragraphs.encode(),
            "corrected.txt": paragraphs.encode(),
            "refined.srt": to_srt(cues).encode(),
            "refined.vtt": to_vtt(cues).encode(),
            "peaks.bin": sound_peaks(sound),
        }
        for name, data in files.items():
            self.store.put_bytes(f"{uuid}/{name}", data)
        self.store.put_file(f"{uuid}/audio.flac", sound)
        publication = Publication(
            uuid,
            join_words(words),
            paragraphs,
            language,
            "small",
            len(words),
            duration,
            speakers=reading.speakers,
            warnings=tuple(warnings),
        )
        publish(self.engine, publication)
        text = join_words(refined_words)
        chunk = EmbeddedChunk(
            text[:2000], words[0].start if words else 0.0, duration, [1.0, 0.0, 0.0], speakers=reading.speakers
        )
        replace_chunks(self.engine, uuid, MODEL, [chunk] if words else [], language=language)
        return transcript


def tone(folder: Path, seconds: float) -> Path:
    """Return a FLAC file of a quiet tone."""
    path = folder / f"tone-{seconds:.1f}.flac"
    if not path.exists():
        rate = 16_000
        samples = (3000 * np.sin(np.arange(int(seconds * rate)) * 2 * np.pi * 220 / rate)).astype(np.int16)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("flac", rate=rate)
            stream.layout = "mono"  # type: ignore[attr-defined]
            for start in range(0, len(samples), rate):
                frame = av.AudioFrame.from_ndarray(samples[None, start : start + rate], format="s16", layout="mono")
                frame.sample_rate = rate
                container.mux(stream.encode(frame))  # type: ignore[attr-defined]
            container.mux(stream.encode(None))  # type: ignore[attr-defined]
    return path


@pytest.fixture(scope="session")
def library(serve: Callable[..., Site], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("library")
    with cloned_database() as url:
        store = folder / "store"
        site = serve(database_url=url, store=store.as_uri(), embedder="none")
        engine = open_database(url)
        yield Library(site, engine, ObjectStore(store.as_uri()), folder)
        engine.dispose()
