"""Find traces of a secret or a sentence: in every row of every table, and in every file below a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg import sql

_TABLES = """
SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
"""


def in_database(url: str, *words: str) -> list[str]:
    """Return the tables with a row that holds one of the words, each with the first such row."""
    traces = []
    with psycopg.connect(url) as connection:
        tables = connection.execute(_TABLES).fetchall()
        assert len(tables) > 20, "the dump misses tables"
        for schema, table in tables:
            copy = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(schema, table))
            with connection.cursor().copy(copy) as rows:
                text = b"".join(rows).decode()
            hits = [row for row in text.splitlines() if any(word in row for word in words)]
            if hits:
                traces.append(f"{schema}.{table}: {len(hits)} rows, such as {hits[0][:1000]}")
    return traces


def in_files(folder: Path, *words: str, without: Sequence[Path] = ()) -> list[str]:
    """Return the files below a folder, save those below `without`, that hold one of the words in content or name."""
    sought = [word.encode() for word in words]
    return [
        str(path)
        for path in folder.rglob("*")
        if path.is_file()
        and not any(path.is_relative_to(excluded) for excluded in without)
        and (any(word in str(path) for word in words) or any(word in path.read_bytes() for word in sought))
    ]
