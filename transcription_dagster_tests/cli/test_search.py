"""`transcription search`: the printed hits."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from click.testing import Result
from sqlalchemy import Engine

from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.errors import ServiceUnavailable, TranscriptionError
from transcription_dagster.search import embedder
from transcription_dagster.search.index import EmbeddedChunk, EmbeddingModel, replace_chunks
from transcription_dagster.transcripts.plain_text import clock

Command = Callable[..., Result]
A, B = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"
MODEL = EmbeddingModel("tiny", 2)


class TinyEmbedder:
    """An embedder for one direction, that of the first recording, which can be told to fail."""

    model = MODEL.name
    dimensions = MODEL.dimensions

    def __init__(self, model: str = MODEL.name, problem: TranscriptionError | None = None) -> None:
        self.model = model
        self._problem = problem

    def encode(self, texts: list[str]) -> list[list[float]]:
        if self._problem:
            raise self._problem
        return [[1.0, 0.0] for _ in texts]


@pytest.fixture
def library(engine: Engine) -> Engine:
    day = datetime(2024, 1, 10, tzinfo=UTC)
    register(engine, [Recording(A, "file:///a.wav", "Harbour [bold]news", "en", modified=day)])
    register(engine, [Recording(B, "file:///b.wav", language="de")])
    replace_chunks(engine, A, MODEL, [EmbeddedChunk("The ferry leaves\x1b[31m at nine.", 3725.4, 3730.0, [1.0, 0.0])])
    replace_chunks(engine, B, MODEL, [EmbeddedChunk("Die Fähren fahren.", 0.0, 3.0, [0.0, 1.0])])
    return engine


def test_a_hit_shows_its_recording_time_and_text(on_database: Command, library: Engine) -> None:
    result = on_database("search", "--words-only", "when do ferries leave")
    assert result.exit_code == 0
    heading, snippet, link = result.stdout.splitlines()
    assert heading == "1. Harbour [bold]news  1:02:05 to 1:02:10"
    assert "⟦ferry⟧ ⟦leaves⟧" in snippet
    assert link.strip() == f"http://127.0.0.1:3000/recordings/{A}?t=3725.4"


def test_meaning_matches_without_common_words(
    on_database: Command, library: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedder, "open_embedder", lambda settings: TinyEmbedder())
    result = on_database("search", "--json", "boat timetable")
    assert [hit["recording"] for hit in json.loads(result.stdout)] == [A, B]
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("tiny", "reason"),
    [
        (TinyEmbedder(model="other"), "no recording has embeddings from other"),
        (TinyEmbedder(problem=ServiceUnavailable("Bedrock is away")), "Bedrock is away"),
    ],
)
def test_without_vectors_only_words_are_searched_and_this_is_reported(
    on_database: Command, library: Engine, monkeypatch: pytest.MonkeyPatch, tiny: TinyEmbedder, reason: str
) -> None:
    monkeypatch.setattr(embedder, "open_embedder", lambda settings: tiny)
    result = on_database("search", "--json", "ferry")
    assert [hit["recording"] for hit in json.loads(result.stdout)] == [A]
    assert result.stderr == f"Searching by words only: {reason}\n"


def test_a_transcript_emits_no_terminal_control_sequences(on_database: Command, library: Engine) -> None:
    result = on_database("search", "--words-only", "ferry")
    assert "\x1b" not in result.stdout


def test_json_contains_complete_hits(on_database: Command, library: Engine) -> None:
    (hit,) = json.loads(on_database("search", "--words-only", "--json", "ferry").stdout)
    assert (hit["recording"], hit["title"], hit["start"], hit["end"]) == (
        A, "Harbour [bold]news", 3725.4, 3730.0,
    )  # fmt: skip
    assert hit["text"] == "The ferry leaves\x1b[31m at nine."
    assert "⟦ferry⟧" in hit["snippet"]
    assert hit["link"].endswith(f"/recordings/{A}?t=3725.4")
    assert hit["score"] > 0


@pytest.mark.parametrize(
    ("options", "hits"),
    [
        ([], [A, B]),
        (["--language", "de"], [B]),
        (["--recording", A.upper()], [A]),
        (["--since", "2024-01-11"], [B]),
        (["--since", "2024-01-10"], [A, B]),
        (["--until", "2024-01-10T00:00:01"], [A]),
    ],
)
def test_filters_narrow_the_hits(on_database: Command, library: Engine, options: list[str], hits: list[str]) -> None:
    result = on_database("search", "--words-only", "--json", "ferry or Fähre", *options)
    assert sorted(hit["recording"] for hit in json.loads(result.stdout)) == hits


def test_an_empty_result_is_reported_with_exit_code_0(on_database: Command, library: Engine) -> None:
    result = on_database("search", "--words-only", "zeppelin")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "Nothing was found.\n")
    assert json.loads(on_database("search", "--words-only", "--json", "zeppelin").stdout) == []


@pytest.mark.parametrize(
    "options", [["--recording", "../etc"], ["--since", "yesterday"], ["--limit", "0"], ["--limit", "101"]]
)
def test_bad_options_are_usage_errors(on_database: Command, options: list[str]) -> None:
    assert on_database("search", "ferry", *options).exit_code == 2


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0:00:00"), (59.99, "0:00:59"), (3600, "1:00:00"), (360_000, "100:00:00")]
)
def test_a_clock_counts_hours(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_an_empty_query_is_a_usage_error(on_database: Command, library: Engine) -> None:
    result = on_database("search", "--words-only", " ")
    assert result.exit_code == 2
    assert "TEXT is empty" in result.output
