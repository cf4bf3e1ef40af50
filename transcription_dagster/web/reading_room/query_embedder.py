"""Embeds queries in a separate process, which keeps the model and torch out of the web server's memory.

`python -m transcription_dagster.web.reading_room.query_embedder` is that process. It reads queries and writes vectors,
one JSON value per line, and ends with the server or after some time without a query.
"""

from __future__ import annotations

import json
import logging
import select
import subprocess
import sys
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import IO, Any, cast

from transcription_dagster.errors import TranscriptionError
from transcription_dagster.search.embedder import open_embedder
from transcription_dagster.search.index import EmbeddingModel
from transcription_dagster.search.query import Embedding
from transcription_dagster.settings import Settings, child_environment, load_settings

#: How long the process waits for another query.
_IDLE_SECONDS = 900.0
#: How long a search waits for a vector before it falls back to words alone.
PATIENCE_SECONDS = 1.5
#: Number of queries whose vectors are kept: people page, filter and go back.
_KEPT = 200

_log = logging.getLogger(__name__)


@dataclass
class QueryEmbedder:
    """Starts the process at the first query, and sends it queries."""

    settings: Settings
    _vectors: dict[str, Embedding] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)
    _changed: Condition = field(default_factory=Condition)
    _process: subprocess.Popen[str] | None = None

    def embed(self, query: str, patience: float = PATIENCE_SECONDS) -> Embedding | None:
        """Return a query's vector; None if there is no embedding model or it takes longer than `patience` seconds.

        A model that is still loading serves later searches.
        """
        if self.settings.embedder == "none":
            return None
        with self._changed:
            if query not in self._vectors and query not in self._asked:
                self._ask(query)
            self._changed.wait_for(lambda: query not in self._asked, patience)
            return self._vectors.get(query)

    def _ask(self, query: str) -> None:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=child_environment(self.settings),
            )
            Thread(target=self._receive, args=(self._process,), daemon=True).start()
        self._asked.add(query)
        try:
            pipe = cast(IO[str], self._process.stdin)
            pipe.write(json.dumps(query) + "\n")
            pipe.flush()
        except BrokenPipeError:
            # The process has just ended; the next search starts another.
            self._asked.discard(query)

    def _receive(self, process: subprocess.Popen[str]) -> None:
        for line in cast(IO[str], process.stdout):
            answer = json.loads(line)
            with self._changed:
                self._asked.discard(answer["query"])
                if "error" in answer:
                    _log.warning("Searching by words only: %s", answer["error"])
                else:
                    self._keep(answer)
                self._changed.notify_all()
        process.wait()
        with self._changed:
            self._asked.clear()
            self._changed.notify_all()

    def _keep(self, answer: dict[str, Any]) -> None:
        model = EmbeddingModel(answer["model"], len(answer["vector"]))
        self._vectors[answer["query"]] = Embedding(model, answer["vector"])
        while len(self._vectors) > _KEPT:
            del self._vectors[next(iter(self._vectors))]


def main() -> None:
    """Answer queries until the input ends, or none arrives for a while."""
    embedder = None
    while select.select([sys.stdin], [], [], _IDLE_SECONDS)[0] and (line := sys.stdin.readline()):
        query = json.loads(line)
        try:
            embedder = embedder or open_embedder(load_settings())
            answer = {"query": query, "model": embedder.model, "vector": embedder.encode([query])[0]}
        except TranscriptionError as error:
            answer = {"query": query, "error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
