"""Hybrid search: chunks that match the query's words and chunks close to its meaning, fused by rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Engine,
    Select,
    and_,
    case,
    cast,
    exists,
    func,
    or_,
    select,
    text,
    union_all,
)

from transcription_dagster.database.archive import distinct_values
from transcription_dagster.database.connection import transaction
from transcription_dagster.database.tables import SCHEMA, ChunkRow, RecordingRow
from transcription_dagster.model import recording_id
from transcription_dagster.search import index
from transcription_dagster.search.index import EmbeddingModel
from transcription_dagster.search.query_words import has_unspaced_letters, snippet_of, web_query

#: Marks around a match in a snippet, which do not occur in transcripts.
MATCH_START, MATCH_END = "⟦", "⟧"

#: Reciprocal rank fusion: a chunk scores the sum of 1 / (K + rank) over the lists it is in. K as in Cormack, Clarke
#: and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods", SIGIR 2009.
_FUSION_K = 60

#: Word matches to rank. If more chunks match, the query is too unspecific for their order to matter, and ranking
#: hundreds of thousands of rows would take seconds.
_RANKED_MATCHES = 1000

#: Each list ranks four times the limit more matches than asked for, at most this many: a match that is far down in both
#: lists can then be among the first of the fused list.
_MAX_FURTHER = 300

#: Candidates that the vector index tracks (`ef_search`); more improve recall and take longer.
_VECTOR_EFFORT = 120
_LARGEST_EFFORT = 1000
#: Maximum rows that the index scans when a filter drops most of them.
_MAX_SCANNED_ROWS = 40_000

_HEADLINE = f"StartSel={MATCH_START}, StopSel={MATCH_END}, MaxWords=30, MinWords=15, MaxFragments=1"


@dataclass(frozen=True, slots=True)
class Embedding:
    """The embedding of a query and its model."""

    model: EmbeddingModel
    vector: Sequence[float]


@dataclass(frozen=True, slots=True)
class Hit:
    """A place in a recording that matches a query; times in seconds."""

    recording: str
    title: str | None
    start: float
    end: float
    text: str
    #: The part of `text` around the match, with `MATCH_START` and `MATCH_END` around each matching word.
    snippet: str
    score: float
    #: Its speakers, in order of first appearance; empty if they are unknown.
    speakers: Sequence[str]
    #: When the recording was made or changed; where that is unknown, when it was registered.
    recorded_at: datetime


def search(
    engine: Engine,
    query: str,
    embedding: Embedding | None = None,
    *,
    limit: int = 10,
    offset: int = 0,
    language: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    recording: str | None = None,
    speaker: str | None = None,
    among: Select[Any] | None = None,
) -> list[Hit]:
    """Return the best matches for `query` after the first `offset`, best first.

    `query` may hold "quoted phrases", `or` and `-excluded` words, as Postgres' `websearch_to_tsquery` reads them.
    Without `embedding`, or if no recording is embedded with its model, only words are matched. `language` is a code
    such as `en`, which finds `en-US` too; `since` is inclusive and `until` is not, and both mean the source's
    modification time, or where that is unknown the time of registration. `speaker` is a speaker's
    name in any case. `among` selects the UUIDs of the recordings to search in; None: all.
    """
    with transaction(engine) as connection:
        languages = _languages(connection, language)
        if not languages:
            return []
        filters = _filters(languages if language else (), since, until, recording, speaker)
        if among is not None:
            filters.append(ChunkRow.recording.in_(among))
        last = offset + limit
        depth = min(5 * last, last + _MAX_FURTHER)
        queries = _queries(query, languages)
        lists = [_by_words(queries, filters, depth)]
        model_id = index.find_model(connection, embedding.model) if embedding else None
        if embedding and model_id is not None:
            lists.append(_by_meaning(embedding, model_id, filters, depth))
        connection.execute(_SCAN_SETTINGS, {"effort": str(min(max(depth, _VECTOR_EFFORT), _LARGEST_EFFORT))})
        hits = [Hit(*row) for row in connection.execute(_hits(_fused(lists, limit, offset), queries))]
    return [
        replace(hit, snippet=snippet_of(hit.text, query, MATCH_START, MATCH_END))
        if has_unspaced_letters(hit.text)
        else hit
        for hit in hits
    ]


#: Settings for this transaction. Custom plans, because a generic plan can neither choose a partial index nor estimate a
#: filter. No sequential scans, because every condition has an index, and the planner, which ignores the cost of
#: reading a `tsvector`, sometimes prefers the whole table.
_SCAN_SETTINGS = text(
    f"""
    SELECT set_config('hnsw.ef_search', :effort, true),
           set_config('hnsw.iterative_scan', 'relaxed_order', true),
           set_config('hnsw.max_scan_tuples', '{_MAX_SCANNED_ROWS}', true),
           set_config('plan_cache_mode', 'force_custom_plan', true),
           set_config('enable_seqscan', 'off', true)
    """
)


def _languages(connection: Connection, language: str | None) -> list[str]:
    """Return the languages of the chunks: all, or `language` and its regional variants, ignoring case."""
    present = distinct_values(connection, ChunkRow.language)
    return [code for code in present if language is None or f"{code}-".lower().startswith(f"{language}-".lower())]


def _filters(
    languages: Sequence[str],
    since: datetime | None,
    until: datetime | None,
    recording: str | None,
    speaker: str | None,
) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = []
    if languages:
        filters.append(ChunkRow.language.in_(languages))
    if since is not None:
        filters.append(ChunkRow.recorded_at >= since)
    if until is not None:
        filters.append(ChunkRow.recorded_at < until)
    if recording is not None:
        filters.append(ChunkRow.recording == recording_id(recording))
    if speaker is not None:
        name = func.unnest(ChunkRow.speakers).column_valued("name")
        filters.append(exists(select(name).where(func.lower(name) == speaker.lower())))
    return filters


def _queries(query: str, languages: Sequence[str]) -> dict[str, ColumnElement[Any]]:
    """Return the query stemmed for each language, like its chunks."""
    configuration = getattr(func, SCHEMA).search_configuration
    return {code: func.websearch_to_tsquery(configuration(code), web_query(query)) for code in languages}


def _by_words(queries: dict[str, ColumnElement[Any]], filters: list[ColumnElement[bool]], depth: int) -> Select[Any]:
    conditions = [and_(ChunkRow.language == code, ChunkRow.words.op("@@")(query)) for code, query in queries.items()]
    distance = -func.ts_rank_cd(ChunkRow.words, case(queries, value=ChunkRow.language))
    matches = select(ChunkRow.id, distance.label("distance")).where(or_(*conditions), *filters).limit(_RANKED_MATCHES)
    nearest = select(*matches.subquery().c).order_by("distance").limit(depth)
    return _ranked(nearest)


def _by_meaning(embedding: Embedding, model_id: int, filters: list[ColumnElement[bool]], depth: int) -> Select[Any]:
    # The index is over exactly this cast, and the planner only uses it with a limit.
    indexed = cast(ChunkRow.embedding, HALFVEC(embedding.model.dimensions))
    distance = indexed.cosine_distance(list(embedding.vector))
    rows = select(ChunkRow.id, distance.label("distance")).where(ChunkRow.model_id == model_id, *filters)
    return _ranked(rows.order_by(distance).limit(depth))


def _ranked(nearest: Select[Any]) -> Select[Any]:
    """Return the rows of `nearest` (id, distance) as (id, rank), with rank 1 for the smallest distance."""
    rows = nearest.subquery()
    return select(rows.c.id, func.row_number().over(order_by=(rows.c.distance, rows.c.id)).label("rank"))


def _fused(lists: Sequence[Select[Any]], limit: int, offset: int) -> CTE:
    ranks = union_all(*lists).subquery()
    score = func.sum(1.0 / (_FUSION_K + ranks.c.rank))
    return (
        select(ranks.c.id, score.label("score"))
        .group_by(ranks.c.id)
        .order_by(score.desc(), ranks.c.id)
        .limit(limit)
        .offset(offset)
        .cte("fused")
    )


def _hits(fused: CTE, queries: dict[str, ColumnElement[Any]]) -> Select[Any]:
    configuration = getattr(func, SCHEMA).search_configuration(ChunkRow.language)
    snippet = func.ts_headline(configuration, ChunkRow.text, case(queries, value=ChunkRow.language), _HEADLINE)
    return (
        select(
            ChunkRow.recording,
            RecordingRow.title,
            ChunkRow.start,
            ChunkRow.end,
            ChunkRow.text,
            snippet,
            fused.c.score,
            ChunkRow.speakers,
            ChunkRow.recorded_at,
        )
        .join(fused, fused.c.id == ChunkRow.id)
        .join(RecordingRow, RecordingRow.uuid == ChunkRow.recording)
        .order_by(fused.c.score.desc(), ChunkRow.id)
    )
