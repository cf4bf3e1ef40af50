"""How fast hybrid search is over many chunks, and how much of the exact answer it finds.

    python -m benchmarks.search --chunks 1000000
    python -m benchmarks.search --chunks 1000000 --per-recording 10

Text and vectors are synthetic: words drawn from a Zipf distribution, and vectors that scatter about the centres of
topics in a space of few dimensions, as those of sentences do (vectors drawn evenly from a sphere have no near
neighbours that an index could find). Recall is counted against a comparison with every chunk.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg.sql import SQL, Identifier
from sqlalchemy import Engine

from benchmarks.arguments import argument_parser
from transcription_dagster.database.connection import open_database, upgrade_database
from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.search.index import EmbeddingModel, replace_chunks
from transcription_dagster.search.query import Embedding, search
from transcription_dagster.settings import load_settings
from transcription_dagster.stack.postgres import embedded_postgres

MODEL = EmbeddingModel("synthetic", 384)
#: The list shows 30 moments a page, and asks for one more to know whether there is another page.
PAGE, BEFORE_TENTH_PAGE = 31, 270
WORDS_PER_CHUNK = 120
BATCH = 20_000
FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
#: Language -> share of the recordings.
LANGUAGES = {"en": 0.80, "de": 0.18, "fr": 0.02}
FILTERS: dict[str, dict[str, Any]] = {
    "no filter": {},
    "language of 18 %": {"language": "de"},
    "language of 2 %": {"language": "fr"},
    "last tenth of the year": {"since": FIRST_DAY + timedelta(days=330)},
}


@dataclass(frozen=True)
class Corpus:
    """A deterministic source of chunks and of queries that resemble them."""

    random: np.random.Generator
    vocabulary: np.ndarray
    weights: np.ndarray
    #: topics x latent dimensions
    centres: np.ndarray
    #: latent dimensions x vector dimensions
    projection: np.ndarray

    @classmethod
    def make(cls, seed: int, words: int = 30_000, topics: int = 2_000, latent: int = 24) -> Corpus:
        random = np.random.default_rng(seed)
        letters = np.array(list("bcdfghklmnprstvwaeiou"))
        vocabulary = np.array(["".join(random.choice(letters, random.integers(3, 10))) for _ in range(words)])
        weights = 1.0 / np.arange(10, words + 10)
        centres = random.normal(size=(topics, latent))
        projection = random.normal(size=(latent, MODEL.dimensions)) / np.sqrt(latent)
        return cls(random, vocabulary, weights / weights.sum(), centres, projection)

    def vectors(self, count: int) -> np.ndarray:
        """Return `count` unit vectors, float32 of shape (count, dimensions)."""
        topics = self.centres[self.random.integers(len(self.centres), size=count)]
        latent = topics + 0.5 * self.random.normal(size=topics.shape)
        vectors = latent @ self.projection + 0.1 * self.random.normal(size=(count, MODEL.dimensions))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def texts(self, count: int, words: int) -> list[str]:
        chosen = self.random.choice(self.vocabulary, size=(count, words), p=self.weights)
        return [" ".join(row) for row in chosen]


def main() -> None:
    options = _options()
    corpus = Corpus.make(seed=1)
    with ExitStack() as stack:
        home = options.home or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(embedded_postgres(load_settings(home=home)))
        upgrade_database(url)
        _load(url, corpus, options.chunks, options.per_recording, options.build_memory)
        engine = open_database(url)
        stack.callback(engine.dispose)
        with psycopg.connect(url) as connection:
            register_vector(connection)
            _report(engine, connection, corpus, options.queries)


def _options() -> argparse.Namespace:
    parser = argument_parser(__doc__)
    parser.add_argument("--chunks", type=int, default=50_000)
    parser.add_argument("--per-recording", type=int, default=100, help="chunks of a recording: 100 are half an hour")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--build-memory", default="2GB", help="maintenance_work_mem while the vector index is built")
    parser.add_argument("--home", type=Path, help="keep the database here; if it holds the chunks, load nothing")
    return parser.parse_args()


def _load(url: str, corpus: Corpus, chunks: int, per_recording: int, build_memory: str) -> None:
    """Fill the tables directly, since the public functions take one recording at a time, and create the indexes
    afterwards.
    """
    uuids = [str(uuid.UUID(int=number + 1)) for number in range(chunks // per_recording)]
    with psycopg.connect(url) as connection:
        register_vector(connection)
        present = connection.execute("SELECT count(*) FROM transcription_data.transcript_chunks").fetchone()
        if present == (chunks,):
            return
        started = time.perf_counter()
        model_id, index, definition = _model(url, uuids)
        connection.execute("DELETE FROM transcription_data.transcript_chunks")
        connection.execute(SQL("DROP INDEX {}").format(Identifier("transcription_data", index)))
        _copy(connection, corpus, uuids, per_recording, model_id)
        connection.execute("ANALYZE transcription_data.transcript_chunks")
        print(f"loaded {chunks:,} chunks in {time.perf_counter() - started:.0f} s", flush=True)
        started = time.perf_counter()
        connection.execute("SELECT set_config('maintenance_work_mem', %s, false)", [build_memory])
        connection.execute(definition)
        (size,) = connection.execute(
            "SELECT pg_relation_size(to_regclass(%s))", [f"transcription_data.{index}"]
        ).fetchall()[0]
        print(f"built the vector index in {time.perf_counter() - started:.0f} s, {size / 2**20:.0f} MiB", flush=True)


def _model(url: str, uuids: list[str]) -> tuple[int, str, SQL]:
    """Register recordings and the model as the program does; return the model's key, its index's name and statement."""
    engine = open_database(url)
    register(engine, (Recording(key, f"file:///{key}.wav") for key in uuids))
    replace_chunks(engine, uuids[0], MODEL, [])
    engine.dispose()
    with psycopg.connect(url) as connection:
        [(model_id, index, definition)] = connection.execute(
            "SELECT embedded_with, indexname, indexdef FROM transcription_data.recordings, pg_indexes "
            "WHERE uuid = %s AND indexname = 'transcript_chunks_embedding_' || embedded_with",
            [uuids[0]],
        ).fetchall()
    return model_id, index, SQL(definition)


def _copy(connection: psycopg.Connection, corpus: Corpus, uuids: list[str], per_recording: int, model_id: int) -> None:
    languages = corpus.random.choice(list(LANGUAGES), size=len(uuids), p=list(LANGUAGES.values()))
    columns = 'recording, position, text, start, "end", language, recorded_at, model_id, embedding'
    with connection.cursor().copy(
        f"COPY transcription_data.transcript_chunks ({columns}) FROM STDIN (FORMAT binary)"
    ) as copy:
        copy.set_types(["uuid", "int4", "text", "float8", "float8", "text", "timestamptz", "int4", "halfvec"])
        for number, (text, vector) in enumerate(_chunks(corpus, len(uuids) * per_recording)):
            recording, position = divmod(number, per_recording)
            recorded_at = FIRST_DAY + timedelta(days=365 * recording / len(uuids))
            start = 20.0 * position
            place = (uuid.UUID(uuids[recording]), position, text, start, start + 25.0)
            copy.write_row((*place, languages[recording], recorded_at, model_id, HalfVector(vector)))


def _chunks(corpus: Corpus, count: int) -> Iterator[tuple[str, np.ndarray]]:
    for first in range(0, count, BATCH):
        size = min(BATCH, count - first)
        yield from zip(corpus.texts(size, WORDS_PER_CHUNK), corpus.vectors(size), strict=True)


def _report(engine: Engine, connection: psycopg.Connection, corpus: Corpus, count: int) -> None:
    queries = corpus.texts(count, 2)
    embeddings = [Embedding(MODEL, vector.tolist()) for vector in corpus.vectors(count)]
    print(f"\n{'':24}{'median':>10}{'p95':>10}{'tenth page':>12}{'words only':>12}{'recall@10':>11}")
    for name, filters in FILTERS.items():
        hybrid, deep, words, recalls = [], [], [], []
        for query, embedding in zip(queries, embeddings, strict=True):
            hybrid.append(_seconds(engine, query, embedding, filters))
            deep.append(_seconds(engine, query, embedding, filters, offset=BEFORE_TENTH_PAGE))
            words.append(_seconds(engine, query, None, filters))
        for embedding in embeddings[: count // 2]:
            # A query without words has no matches by words, so this compares the vector index alone.
            found = {(hit.recording, hit.start) for hit in search(engine, "", embedding, **filters)}
            wanted = _exact(connection, embedding, filters)
            if not wanted:
                raise SystemExit(f"no chunk matches {name!r}: add --chunks, or take fewer --per-recording")
            recalls.append(len(found & wanted) / len(wanted))
        slow = statistics.quantiles(hybrid, n=20)[-1]
        print(
            f"{name:24}{1000 * statistics.median(hybrid):7.1f} ms{1000 * slow:7.1f} ms"
            f"{1000 * statistics.median(deep):9.1f} ms{1000 * statistics.median(words):9.1f} ms"
            f"{statistics.mean(recalls):11.3f}",
            flush=True,
        )


def _exact(connection: psycopg.Connection, embedding: Embedding, filters: dict[str, Any]) -> set[tuple[str, float]]:
    """Return the ten nearest chunks by comparing all. Without the cast, the query does not use the index."""
    rows = connection.execute(
        """
        SELECT recording, start FROM transcription_data.transcript_chunks
        WHERE (%(language)s::text IS NULL OR language = %(language)s)
          AND (%(since)s::timestamptz IS NULL OR recorded_at >= %(since)s)
        ORDER BY embedding <=> %(vector)s LIMIT 10
        """,
        {"language": None, "since": None, **filters, "vector": HalfVector(list(embedding.vector))},
    )
    return {(str(recording), start) for recording, start in rows}


def _seconds(
    engine: Engine, query: str, embedding: Embedding | None, filters: dict[str, Any], offset: int = 0
) -> float:
    started = time.perf_counter()
    search(engine, query, embedding, limit=PAGE, offset=offset, **filters)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
