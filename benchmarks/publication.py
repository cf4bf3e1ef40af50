"""The time to publish a recording, for the first time and again unchanged.

    python -m benchmarks.publication --recordings 1000

Each recording has an hour's transcript (9,000 words), its refined text, and insights with a few hundred entries.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from benchmarks.arguments import argument_parser
from transcription_dagster.database.connection import open_database, upgrade_database
from transcription_dagster.database.publications import Publication, PublishedInsights, publish
from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.settings import Settings
from transcription_dagster.stack.postgres import embedded_postgres

WORDS = 9_000
ENTITIES = 300


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--recordings", type=int, default=1000)
    count = parser.parse_args().recordings
    with tempfile.TemporaryDirectory() as home, embedded_postgres(Settings(home=Path(home))) as url:
        upgrade_database(url)
        engine = open_database(url)
        started = time.perf_counter()
        uuids = [str(uuid.UUID(int=number)) for number in range(count)]
        register(engine, (Recording(key, f"s3://archive/{key}.flac") for key in uuids))
        print(f"registered {count:,} recordings in {time.perf_counter() - started:.2f} s")
        for label in ("published", "published again, unchanged"):
            seconds = []
            for number, key in enumerate(uuids):
                publication = make(key, seed=number)
                started = time.perf_counter()
                publish(engine, publication)
                seconds.append(time.perf_counter() - started)
            print(f"{label}: {report(seconds)}", flush=True)
        engine.dispose()


def make(recording: str, seed: int) -> Publication:
    """Return a realistic publication, always the same for the same seed."""
    source = random.Random(seed)
    words = [f"word{source.randrange(20_000)}" for _ in range(WORDS)]
    entities = [{"text": source.choice(words), "type": "OTHER", "begin": place} for place in range(ENTITIES)]
    assets = ("audio", "transcript", "captions_srt", "captions_vtt", "refined_txt", "refined_srt", "insights")
    return Publication(
        recording=recording,
        text=" ".join(words),
        refined_text=" ".join(words).capitalize(),
        language="en",
        model="medium",
        words=WORDS,
        duration=3600.0,
        versions=dict.fromkeys(assets, "1"),
        sha256s={f"{name}.txt": source.randbytes(32).hex() for name in assets},
        insights=PublishedInsights("local", {"entities": entities}),
    )


def report(seconds: Sequence[float]) -> str:
    """Print the mean, the median and the 95th percentile in milliseconds."""
    values = (statistics.mean(seconds), statistics.median(seconds), statistics.quantiles(seconds, n=20)[-1])
    return "mean {:.1f} ms, median {:.1f} ms, p95 {:.1f} ms".format(*(1000 * value for value in values))


if __name__ == "__main__":
    main()
