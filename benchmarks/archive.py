"""The speed of the reading room's list over a large archive, with each filter and far from its beginning.

    python -m benchmarks.archive --recordings 100000

Recordings are synthetic: a tenth is in each of the rarer languages, 1 in 20 waits, 1 in 500 failed, 3 % have warnings,
and each of 20,000 speakers appears in a handful. The median of five answers is printed, after one warm-up, with the
time that this process and Postgres work for an answer: unlike the median, it hardly depends on what else is running.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, event

from benchmarks.arguments import argument_parser
from transcription_dagster.database.archive import Filters, RecordingStatus, languages, list_recordings
from transcription_dagster.database.connection import open_database, upgrade_database
from transcription_dagster.settings import Settings
from transcription_dagster.stack.postgres import embedded_postgres

_RECORDINGS = """
INSERT INTO transcription_data.recordings (uuid, source, title, modified, failed_at, error)
SELECT gen_random_uuid(), 'file:///archive/' || n || '.mp3', 'Recording ' || n,
       timestamptz '2020-01-01' + n * interval '31 minutes',
       CASE WHEN n %% 500 = 0 THEN now() END, CASE WHEN n %% 500 = 0 THEN 'the source does not exist' END
  FROM generate_series(1, %s) n
"""
_TRANSCRIPTS = """
INSERT INTO transcription_data.transcripts
       (recording, text, refined_text, language, model, words, duration, versions, sha256s, speakers, warnings)
SELECT uuid, text, text, (ARRAY['en', 'en', 'en', 'en', 'de', 'de', 'fr', 'es', 'it', 'sv'])[1 + floor(random() * 10)],
       'small', 3000, 1800, '{}', '{}',
       ARRAY['spk_' || floor(random() * 5), 'name ' || floor(random() * 20000)],
       CASE WHEN random() < 0.03 THEN '[{"kind": "gap", "place": 3, "message": "speech without words"}]'::jsonb
            ELSE '[]'::jsonb END
  FROM (SELECT uuid, repeat('Some words of a sentence. ', 100) AS text, row_number() OVER () AS n
          FROM transcription_data.recordings) AS recordings
 WHERE n % 20 <> 7
"""


def main() -> None:
    """Fill a new database and request pages of the list."""
    parser = argument_parser(__doc__)
    parser.add_argument("--recordings", type=int, default=100_000)
    count = parser.parse_args().recordings
    with tempfile.TemporaryDirectory() as folder, embedded_postgres(Settings(home=Path(folder))) as url:
        upgrade_database(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_RECORDINGS, (count,))
            connection.execute(_TRANSCRIPTS)
            connection.execute("VACUUM ANALYZE")
        engine = open_database(url)
        for name, ask in _questions(engine, count).items():
            wall, own = _milliseconds(ask)
            print(f"{name:28} {wall:7.1f} ms, {own:5.1f} of this process, {_in_postgres(engine, ask):5.1f} of Postgres")
        engine.dispose()


def _questions(engine: Engine, count: int) -> Mapping[str, Callable[[], object]]:
    middle = list_recordings(engine, limit=count // 2)[-1].place
    filters = {
        "a common language": Filters(language="en"),
        "a rare language": Filters(language="sv"),
        "no such language": Filters(language="xx"),
        "failed": Filters(status=RecordingStatus.FAILED),
        "waiting": Filters(status=RecordingStatus.WAITING),
        "published": Filters(status=RecordingStatus.PUBLISHED),
        "with warnings": Filters(warned=True),
        "a speaker": Filters(speaker="name 77"),
        "no such speaker": Filters(speaker="no one"),
        "two days": Filters(since=datetime(2022, 1, 1, tzinfo=UTC), until=datetime(2022, 1, 3, tzinfo=UTC)),
    }
    return {
        "newest": lambda: list_recordings(engine),
        "in the middle": lambda: list_recordings(engine, after=middle),
        "all languages": lambda: languages(engine),
        **{name: (lambda chosen=chosen: list_recordings(engine, chosen)) for name, chosen in filters.items()},
    }


def _milliseconds(ask: Callable[[], object]) -> tuple[float, float]:
    """Return the median time of an answer, and the least CPU time of this process, in milliseconds."""
    ask()
    walls, own = [], []
    for _ in range(5):
        started, worked = time.perf_counter(), time.process_time()
        ask()
        walls.append(time.perf_counter() - started)
        own.append(time.process_time() - worked)
    return statistics.median(walls) * 1000, min(own) * 1000


def _in_postgres(engine: Engine, ask: Callable[[], object]) -> float:
    """Return the milliseconds in which Postgres plans and runs an answer's queries: the least of three."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_others: Any) -> None:
        asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    ask()
    event.remove(engine, "before_cursor_execute", note)
    queries = [each for each in asked if each[0].lstrip().startswith(("SELECT", "WITH"))]
    with engine.connect() as connection:
        return sum(min(_planned_and_run(connection, *query) for _ in range(3)) for query in queries)


def _planned_and_run(connection: Connection, statement: str, parameters: Any) -> float:
    explained = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).scalar_one()
    return explained[0]["Planning Time"] + explained[0]["Execution Time"]


if __name__ == "__main__":
    main()
