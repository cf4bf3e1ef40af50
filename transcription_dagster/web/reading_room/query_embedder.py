"""Embed queries in a separate process, which keeps the model and torch out of the web server's memory.

`python -m transcription_dagster.web.reading_room.query_embedder` is that process. It reads queries and writes vectors,
one JSON value per line, and ends with the server or after a time without queries.
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
#: Number of queries whose vectors are kept, since paging and filtering repeat a query.
_CACHED_QUERIES = 200

_log = logging.getLogger(__name__)


@dataclass
class QueryEmbedder:
    """Starts the process at the first query, and caches its vectors."""

    settings: Settings
    _vectors: dict[str, Embedding] = field(default_factory=dict)
    #: Queries whose vectors have not arrived yet.
    _pending: set[str] = field(default_factory=set)
    _changed: Condition = field(default_factory=Condition)
    _process: subprocess.Popen[str] | None = None

    def embed(self, query: str, patience: float = PATIENCE_SECONDS) -> Embedding | None:
        """Return a query's vector; None if there is no embedding model or it takes longer than `patience` seconds.

        A model that is still loading serves later searches.
        """
        if self.settings.embedder == "none":
            return None
        with self._changed:
            if query not in self._vectors and query not in self._pending:
                self._send(query)
            self._changed.wait_for(lambda: query not in self._pending, patience)
            return self._vectors.get(query)

    def _send(self, query: str) -> None:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=child_environment(self.settings),
            )
            Thread(target=self._receive, args=(self._process,), daemon=True).start()
        self._pending.add(query)
        try:
            pipe = cast(IO[str], self._process.stdin)
            pipe.write(json.dumps(query) + "\n")
            pipe.flush()
        except BrokenPipeError:
            # The process has just ended; the next search starts another.
            self._pending.discard(query)

    def _receive(self, process: subprocess.Popen[str]) -> None:
        for line in cast(IO[str], process.stdout):
            reply = json.loads(line)
            with self._changed:
                self._pending.discard(reply["query"])
                if "error" in reply:
                    _log.warning("Searching by words only: %s", reply["error"])
                else:
                    self._cache(reply)
                self._changed.notify_all()
        process.wait()
        with self._changed:
            self._pending.clear()
            self._changed.notify_all()

    def _cache(self, reply: dict[str, Any]) -> None:
        model = EmbeddingModel(reply["model"], len(reply["vector"]))
        self._vectors[reply["query"]] = Embedding(model, reply["vector"])
        while len(self._vectors) > _CACHED_QUERIES:
            del self._vectors[next(iter(self._vectors))]


def main() -> None:
    """Embed queries from standard input until it ends, or until `_IDLE_SECONDS` pass without one."""
    embedder = None
    while select.select([sys.stdin], [], [], _IDLE_SECONDS)[0] and (line := sys.stdin.readline()):
        query = json.loads(line)
        try:
            embedder = embedder or open_embedder(load_settings())
            reply = {"query": query, "model": embedder.model, "vector": embedder.encode([query])[0]}
        except TranscriptionError as error:
            reply = {"query": query, "error": str(error)}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
