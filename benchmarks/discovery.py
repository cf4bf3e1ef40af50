"""How long a sensor's tick takes over a prefix of 100,000 objects, and how much memory its process comes to.

    python -m benchmarks.discovery --objects 100000 --latency-ms 0

The bucket is a small server of the listing operation alone, in a process of its own: moto answers the same pages, but
takes 0.4 s for each at this size. What the sensor knows comes from a real Postgres.
"""

from __future__ import annotations

import bisect
import multiprocessing
import os
import random
import tempfile
import time
import uuid
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

from sqlalchemy import delete

from benchmarks.arguments import argument_parser
from transcription_dagster.database import recordings
from transcription_dagster.database.connection import open_database, upgrade_database
from transcription_dagster.database.recordings import forgotten
from transcription_dagster.database.tables import ForgottenRow
from transcription_dagster.settings import Settings
from transcription_dagster.sources.base import Source, pages
from transcription_dagster.sources.directory import DirectorySource
from transcription_dagster.sources.discovery import DiscoveryState, confirmed, discover
from transcription_dagster.sources.s3 import S3Source
from transcription_dagster.stack.postgres import embedded_postgres

PREFIX = "incoming/"
ETAG = "0123456789abcdef0123456789abcdef"
NEW = 10
FIRST_TICKS = 40
MAX_REQUESTS = 50
_SPAWN = multiprocessing.get_context("spawn")


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--latency-ms", type=float, default=0.0, help="added to the answer to each listing request")
    arguments = parser.parse_args()
    source = random.Random(1)
    uuids = sorted(str(uuid.UUID(int=source.getrandbits(128))) for _ in range(arguments.objects))
    new = set(source.sample(uuids, NEW))
    with tempfile.TemporaryDirectory() as home, embedded_postgres(Settings(home=Path(home))) as database:
        upgrade_database(database)
        folder = make_folder(Path(home) / "incoming", uuids)
        server, endpoint = start(serve, uuids, arguments.latency_ms / 1000)
        print(run_alone(first_ticks, "s3", endpoint, folder, database), flush=True)
        for kind in ("s3", "directory"):
            know(database, uuids, new, kind, folder)
            print(run_alone(steady_tick, kind, endpoint, folder, database), flush=True)
        server.terminate()


def steady_tick(kind: str, source: Source, database: str) -> str:
    """Measure a tick over a prefix with ten new objects among already requested ones."""
    state, seconds, requests = tick(source, DiscoveryState(), database)
    if state.cursor is not None or requests != NEW:
        raise SystemExit(f"the tick asked for {requests} runs and ended at {state.cursor}")
    return f"{kind}: a tick that finds {requests} new objects among all of them: {seconds:.2f} s"


def first_ticks(kind: str, source: Source, database: str) -> str:
    """Measure the first ticks over a prefix of new objects only."""
    state, times = DiscoveryState(), []
    for number in range(1, FIRST_TICKS + 1):
        state, seconds, requests = tick(source, state, database)
        times.append(seconds)
        if requests != MAX_REQUESTS:
            raise SystemExit(f"tick {number} asked for {requests} runs")
    mean, worst = sum(times) / len(times), max(times)
    return (
        f"{kind}: {FIRST_TICKS} first ticks, {MAX_REQUESTS} runs each, all new: {mean:.2f} s on average, "
        f"{worst:.2f} s at most"
    )


def tick(source: Source, state: DiscoveryState, database: str) -> tuple[DiscoveryState, float, int]:
    """Run a sensor's tick without Dagster; return its seconds and the number of requested runs."""
    started = time.perf_counter()
    engine = open_database(database)
    registered = recordings.registered_sources(engine, state.asked)
    recordings.record_etags(engine, confirmed(state.asked, {key: known.etag for key, known in registered.items()}))
    discovery = discover(
        pages(source, state.cursor, seconds=30),
        state.cursor,
        lambda uuids: recordings.registered_sources(engine, uuids),
        lambda uuids: forgotten(engine, uuids),
        in_flight=(),
        max_requests=MAX_REQUESTS,
    )
    recordings.register(
        engine,
        (
            recordings.Recording(wanted.source.uuid, "s3://b/k", etag=wanted.pending, modified=wanted.source.modified)
            for wanted in discovery.requests
        ),
    )
    engine.dispose()
    return discovery.state, time.perf_counter() - started, len(discovery.requests)


def know(database: str, uuids: Sequence[str], new: set[str], kind: str, folder: Path) -> None:
    """Register all but the new objects with the etags of the source."""
    etags = dict.fromkeys(uuids, ETAG)
    if kind == "directory":
        listed = DirectorySource(folder).list(None, len(uuids) + 1)
        etags = {found.uuid: found.etag for found in listed.objects}
    engine = open_database(database)
    for key in new:
        recordings.forget(engine, key)
    with engine.begin() as connection:
        # Retracted recordings never come back; these are to be new.
        connection.execute(delete(ForgottenRow))
    known = (recordings.Recording(key, f"{kind}://{key}", etag=etags[key]) for key in uuids if key not in new)
    recordings.register(engine, known)
    engine.dispose()


def make_folder(folder: Path, uuids: Sequence[str]) -> Path:
    """Create files with these names, an hour old."""
    folder.mkdir()
    for key in uuids:
        path = folder / f"{key}.mp3"
        path.touch()
        an_hour_ago = time.time() - 3600
        os.utime(path, (an_hour_ago, an_hour_ago))
    return folder


def run_alone(measured, kind: str, endpoint: str, folder: Path, database: str) -> str:
    """Run a measurement in a separate process, and add that process's peak memory."""
    process, result = start(measure, measured, kind, endpoint, folder, database)
    process.join()
    return result


def measure(results: Connection, measured, kind: str, endpoint: str, folder: Path, database: str) -> None:
    """Send the result of `measured`, with the peak memory of this process, through `results`."""
    os.environ.update(
        AWS_ENDPOINT_URL=endpoint, AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_DEFAULT_REGION="us-east-1"
    )
    source = S3Source(f"s3://bucket/{PREFIX}") if kind == "s3" else DirectorySource(folder)
    busy_before = time.process_time()
    outcome = measured(kind, source, database)
    results.send(f"{outcome}, {time.process_time() - busy_before:.2f} s of the processor, {peak_mb():.0f} MB")


def peak_mb() -> float:
    """Return the peak memory of this process. `getrusage` would report the parent's if that was larger."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def start(target, *arguments: object):
    """Start a process that sends one text, and wait for the text."""
    receiver, sender = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=target, args=(sender, *arguments), daemon=True)
    process.start()
    sender.close()
    return process, receiver.recv()


def serve(ready: Connection, uuids: Sequence[str], latency: float) -> None:
    """Answer ListObjectsV2 for keys with these names, and send the server's address through `ready`."""
    keys = [f"{PREFIX}{key}.mp3" for key in uuids]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing: a line per page would add to the tick's time."""

        def do_GET(self) -> None:
            time.sleep(latency)
            query = dict(parse_qsl(urlsplit(self.path).query))
            body = page(keys, query.get("continuation-token") or query.get("start-after", "")).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ready.send(f"http://127.0.0.1:{server.server_port}")
    server.serve_forever()


def page(keys: Sequence[str], after: str) -> str:
    """Return the 1,000 keys after a key, as S3 writes them."""
    first = bisect.bisect_right(keys, after)
    shown = keys[first : first + 1000]
    is_truncated = first + 1000 < len(keys)
    contents = "".join(
        f"<Contents><Key>{quote(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;{ETAG}&quot;</ETag><Size>1000000</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for key in shown
    )
    token = f"<NextContinuationToken>{shown[-1]}</NextContinuationToken>" if is_truncated else ""
    return (
        "<ListBucketResult><EncodingType>url</EncodingType><MaxKeys>1000</MaxKeys>"
        f"<IsTruncated>{str(is_truncated).lower()}</IsTruncated>{token}{contents}</ListBucketResult>"
    )


if __name__ == "__main__":
    main()
