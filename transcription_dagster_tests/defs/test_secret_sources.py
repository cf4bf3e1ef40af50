"""Sources whose URLs contain a signature or password: they are fetched, and no row, event, log or result shows it."""

import json
import logging
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance import DagsterInstance
from sqlalchemy import Engine

from transcription_dagster.cli.batch.input import BatchInput, register_recordings, unfinished_entries
from transcription_dagster.cli.connection import open_instance
from transcription_dagster.cli.recordings import store_imported
from transcription_dagster.cli.workers import _log
from transcription_dagster.database.recordings import find_recording, forget
from transcription_dagster.defs import failures
from transcription_dagster.defs.all_assets import all_assets
from transcription_dagster.defs.assets.publication import MANIFEST_FILE, make_manifest
from transcription_dagster.defs.failures import reported_failures
from transcription_dagster.defs.resources import all_resources
from transcription_dagster.errors import SourceRefused
from transcription_dagster.model import Transcript, Word
from transcription_dagster.settings import load_settings
from transcription_dagster.sources.worklists import load
from transcription_dagster.store.object_store import ObjectStore
from transcription_dagster_tests import traces
from transcription_dagster_tests.s3_server import AwsServer
from transcription_dagster_tests.sources.web_server import Reply, Request, web_server
from transcription_dagster_tests.system import DEMO_RECORDINGS

pytestmark = pytest.mark.slow

RECORDING = "00000000-0000-0000-0000-000000000001"
SIGNATURE, PASSWORD = "s1gnature-5e2b90", "passw0rd-77c1fa"
WORDS = (Word("Ferry", 0.0, 0.5, 0.9),)
AUDIO = DEMO_RECORDINGS[0].read_bytes()


@pytest.fixture(autouse=True)
def impatient(at_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSCRIPTION_IB_ALLOW_PRIVATE", "true")
    monkeypatch.setenv("TRANSCRIPTION_SOURCE_STALL_SECONDS", "0.3")
    monkeypatch.setenv("TRANSCRIPTION_SOURCE_TIME_LIMIT_SECONDS", "1")
    monkeypatch.setenv("TRANSCRIPTION_EMBEDDER", "none")
    monkeypatch.setenv("TRANSCRIPTION_LOG_LEVEL", "info")


@pytest.fixture(autouse=True)
def log(impatient: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Provide a worker's log file, including httpx's requests."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    path = tmp_path / "worker.log"
    with path.open("w") as file, monkeypatch.context() as patch:
        patch.setattr("sys.stderr", file)
        # pytest's own handlers would be closed.
        root.handlers = []
        _log(load_settings())
        patch.undo()
        logging.getLogger("httpx").setLevel(logging.DEBUG)
        yield path
        root.handlers = handlers
        root.setLevel(level)


def register(engine: Engine, source: str, folder: Path) -> None:
    """Register the recording as `batch` does for a worklist."""
    path = folder / "worklist.json"
    path.write_text(json.dumps([{"uuid": RECORDING, "source": source}]))
    worklist = load(path)
    register_recordings(
        engine, ObjectStore(load_settings().store_url), BatchInput(worklist, unfinished_entries(worklist)), None
    )
    path.unlink()


def run(instance: DagsterInstance, *assets: str) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions("recordings", [RECORDING])
    return dg.materialize(
        [*all_assets(load_settings())],
        selection=list(assets),
        partition_key=RECORDING,
        instance=instance,
        raise_on_error=False,
        resources=all_resources(load_settings()),
        run_config={"execution": {"config": {"retries": {"disabled": {}}}}},
    )


def leaks(database_url: str, folder: Path) -> list[str]:
    """Return the places that contain the signature or the password, except the private file."""
    secrets = (SIGNATURE, PASSWORD)
    traces_found = traces.in_database(database_url, *secrets) + traces.in_files(folder, *secrets)
    private = folder / "store" / RECORDING / "source.secret"
    assert str(private) in traces_found
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    traces_found.remove(str(private))
    return traces_found


def redirected(_request: Request) -> Reply:
    return Reply(302, {"Location": f"https://user:{PASSWORD}@elsewhere.example.org/a.wav?sig={SIGNATURE}"})


ANSWERS: dict[str, Callable[[Request], Reply]] = {
    "403": lambda _request: Reply(403),
    "404": lambda _request: Reply(404),
    "500": lambda _request: Reply(500),
    "429": lambda _request: Reply(429, {"Retry-After": "3600"}),
    "a timeout": lambda _request: Reply(body=AUDIO[:1000], announced=len(AUDIO), stall=True),
    "a broken connection": lambda _request: Reply(body=AUDIO[:1000], announced=len(AUDIO)),
    "a web page": lambda request: Reply(headers={"Content-Type": "text/html"}, body=request.path.encode()),
    "no audio": lambda request: Reply(body=request.path.encode() * 100),
    "a redirect to another host": redirected,
}


@pytest.mark.parametrize("failure", ANSWERS)
def test_a_failure_leaves_no_trace_of_a_secret(
    failure: str,
    engine: Engine,
    database_url: str,
    tmp_path: Path,
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A step with an unavailable source is retried six times, for a minute in all.
    monkeypatch.setattr(failures, "_RETRY_SECONDS", 0.0)
    with web_server(ANSWERS[failure]) as server, open_instance(load_settings()) as instance:
        monkeypatch.setenv("TRANSCRIPTION_SOURCE_HOSTS", server.url)
        register(engine, f"{server.url}/a.wav?X-Amz-Signature={SIGNATURE}&token={PASSWORD}#{SIGNATURE}", tmp_path)
        assert not run(instance, "audio").success
        assert server.requests[0].path == f"/a.wav?X-Amz-Signature={SIGNATURE}&token={PASSWORD}"
    assert f"{server.url}/a.wav" in log.read_text()
    assert leaks(database_url, tmp_path) == []


def test_a_refusal_leaves_no_trace_of_a_password(engine: Engine, database_url: str, tmp_path: Path, log: Path) -> None:
    with open_instance(load_settings()) as instance:
        source = f"https://user:{PASSWORD}@media.example.org/a.wav?sig={SIGNATURE}"
        store_imported(
            engine, ObjectStore(load_settings().store_url), Transcript(RECORDING, WORDS, duration=1.0), source
        )
        assert not run(instance, "audio").success
    assert leaks(database_url, tmp_path) == []


@pytest.mark.parametrize("key", ["a.wav", "missing.wav"])
def test_a_presigned_object_is_fetched_and_described_without_its_signature(
    key: str,
    aws: AwsServer,
    engine: Engine,
    database_url: str,
    tmp_path: Path,
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRANSCRIPTION_SOURCE_HOSTS", aws.url)
    monkeypatch.setenv("TRANSCRIPTION_SOURCE_STALL_SECONDS", "20")
    monkeypatch.setenv("TRANSCRIPTION_SOURCE_TIME_LIMIT_SECONDS", "60")
    aws.make_bucket("archive")
    s3 = aws.client("s3")
    s3.put_object(Bucket="archive", Key="a.wav", Body=AUDIO)
    url = s3.generate_presigned_url("get_object", {"Bucket": "archive", "Key": key, "VersionId": SIGNATURE})
    url = url.replace(f"versionId={SIGNATURE}", f"x={SIGNATURE}")
    store = ObjectStore(load_settings().store_url)
    transcript = Transcript(RECORDING, WORDS, duration=1.0)
    with open_instance(load_settings()) as instance:
        store_imported(engine, store, transcript, None)
        register(engine, url, tmp_path)
        result = run(instance, "audio", "refined_txt", "corrected_txt", "insights")
    assert result.success is (key == "a.wav")
    registered = find_recording(engine, RECORDING)
    assert registered is not None
    manifest = make_manifest(store, RECORDING, registered, transcript)
    store.put_bytes(f"{RECORDING}/{MANIFEST_FILE}", manifest.document)
    assert url.partition("?")[0] in manifest.document.decode()
    assert leaks(database_url, tmp_path) == []


def test_the_causes_of_an_error_lose_their_secrets_too(
    engine: Engine, database_url: str, tmp_path: Path, log: Path
) -> None:
    url = f"https://user:{PASSWORD}@host/a?sig={SIGNATURE}"

    @dg.op
    def fails() -> None:
        with reported_failures():
            try:
                try:
                    raise FileNotFoundError(2, "no such file", url)
                except OSError as error:
                    # A cause that differs from the context, and one that is the context.
                    raise SourceRefused(f"{url} is refused") from RuntimeError(f"tried {url}").with_traceback(
                        error.__traceback__
                    )
            except SourceRefused as refused:
                raise refused from refused

    @dg.job
    def failing() -> None:
        fails()

    with open_instance(load_settings()) as instance:
        store_imported(engine, ObjectStore(load_settings().store_url), Transcript(RECORDING, WORDS, duration=1.0), url)
        assert not failing.execute_in_process(instance=instance, raise_on_error=False).success
        logging.getLogger("anything").error("of %s: %s", RECORDING, url, exc_info=ValueError(url))
    assert "ValueError" in log.read_text()
    assert leaks(database_url, tmp_path) == []


def test_a_recording_of_the_media_library_is_registered_unless_it_was_forgotten(
    instance: DagsterInstance, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with web_server(lambda _request: Reply(body=AUDIO)) as server:
        monkeypatch.setenv("TRANSCRIPTION_IB_URL_TEMPLATE", f"{server.url}/{{uuid}}.flac?sig={SIGNATURE}")
        assert run(instance, "audio").success
        registered = find_recording(engine, RECORDING)
        assert registered is not None
        assert registered.source == f"{server.url}/{RECORDING}.flac"
        forget(engine, RECORDING)
        assert not run(instance, "audio").success
    assert find_recording(engine, RECORDING) is None
