from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from transcription_dagster.errors import SourceNotFound, SourceRefused, SourceUnavailable, UnusableAudio
from transcription_dagster.settings import Settings
from transcription_dagster.sources.fetch import fetch, open_sources, unchanged
from transcription_dagster_tests.s3_server import AwsServer
from transcription_dagster_tests.sources.web_server import Reply, web_server


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "a talk, 100% ü?#.mp3"
    path.parent.mkdir()
    path.write_bytes(b"audio")
    return path


def test_a_local_file_is_used_in_place(settings: Callable[..., Settings], audio: Path, tmp_path: Path) -> None:
    for uri in (str(audio), audio.as_uri(), audio.as_uri().replace("file://", "file://localhost")):
        fetched = fetch(uri, tmp_path / "target", settings())
        assert (fetched.path, fetched.size) == (audio, 5)
        assert fetched.etag
    assert not (tmp_path / "target").exists()


def test_a_file_name_that_is_not_utf_8_is_found_by_its_uri(settings: Callable[..., Settings], tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.mp3"
    Path(os.fsdecode(path)).write_bytes(b"audio")
    assert fetch(f"{tmp_path.as_uri()}/%FF.mp3", tmp_path / "target", settings()).size == 5


def test_an_object_of_a_bucket_is_fetched(settings: Callable[..., Settings], aws: AwsServer, tmp_path: Path) -> None:
    aws.make_bucket("recordings")
    aws.client("s3").put_object(Bucket="recordings", Key="in/a.mp3", Body=b"audio")
    fetched = fetch("s3://recordings/in/a.mp3", tmp_path / "new" / "target", settings())
    assert fetched.path == tmp_path / "new" / "target"
    assert fetched.path.read_bytes() == b"audio"
    assert fetched.size == 5
    assert fetched.etag


def test_a_file_of_an_allowed_host_is_fetched(settings: Callable[..., Settings], tmp_path: Path) -> None:
    with web_server(lambda request: Reply(headers={"ETag": '"v"'}, body=b"audio")) as server:
        allowed = settings(source_hosts=(server.url,), ib_allow_private=True)
        fetched = fetch(f"{server.url}/a.mp3", tmp_path / "target", allowed)
        assert (fetched.path.read_bytes(), fetched.etag) == (b"audio", '"v"')
        with pytest.raises(SourceRefused, match="not on an allowed host"):
            fetch(f"{server.url}/a.mp3", tmp_path / "target", settings())


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("ftp://host/a.mp3", "is neither"),
        ("file://host/a.mp3", "another machine"),
        ("a.mp3", "not an absolute path"),
        ("../a.mp3", "not an absolute path"),
        ("", "not an absolute path"),
        ("/a\0b", "is not a path"),
        ("file:///a%00b", "is not a path"),
        ("/dev/zero", "is not a file"),
        ("/", "is not a file"),
        ("s3://bucket", "names a bucket"),
        ("https://", "allowed host"),
        ("http://127.0.0.1:22/", "allowed host"),
        ("https://[::1", "."),
    ],
)
def test_forbidden_sources_are_refused(
    settings: Callable[..., Settings], tmp_path: Path, uri: str, reason: str
) -> None:
    with pytest.raises(SourceRefused, match=reason):
        fetch(uri, tmp_path / "target", settings())


def test_a_pipe_is_refused(settings: Callable[..., Settings], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp3")
    with pytest.raises(SourceRefused, match="is not a file"):
        fetch(str(tmp_path / "pipe.mp3"), tmp_path / "target", settings())


def test_missing_sources_are_not_found(settings: Callable[..., Settings], audio: Path, tmp_path: Path) -> None:
    for missing in (tmp_path / "nowhere.mp3", audio / "below a file.mp3"):
        with pytest.raises(SourceNotFound, match="does not exist"):
            fetch(str(missing), tmp_path / "target", settings())


def test_a_file_that_grows_or_disappears_while_it_is_read_is_read_again(
    settings: Callable[..., Settings], audio: Path, tmp_path: Path
) -> None:
    source = fetch(str(audio), tmp_path / "target", settings())
    with pytest.raises(SourceUnavailable, match="changed or removed while it was read"), unchanged(source):
        audio.write_bytes(b"more than before")
    with pytest.raises(SourceUnavailable, match="changed or removed while it was read"), unchanged(source):
        cut_short(audio)


def cut_short(file: Path) -> None:
    """Remove a file, and fail as decoding what was read of it does."""
    file.unlink()
    raise UnusableAudio("half a file")


def test_an_unchanged_file_keeps_its_own_error(settings: Callable[..., Settings], audio: Path, tmp_path: Path) -> None:
    source = fetch(str(audio), tmp_path / "target", settings())
    with pytest.raises(UnusableAudio, match="no sound"), unchanged(source):
        raise UnusableAudio("no sound")


def test_empty_and_large_files_are_refused(settings: Callable[..., Settings], audio: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceRefused, match="5 bytes, more than the limit of 4"):
        fetch(str(audio), tmp_path / "target", settings(max_source_gb=4e-9))
    audio.write_bytes(b"")
    with pytest.raises(UnusableAudio, match="is empty"):
        fetch(str(audio), tmp_path / "target", settings())


def test_links_to_files_outside_the_allowed_folders_are_refused(
    settings: Callable[..., Settings], audio: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.mp3"
    outside.write_bytes(b"audio")
    (audio.parent / "link.mp3").symlink_to(outside)
    allowed = settings(source_folders=(audio.parent,))
    assert fetch(str(audio), tmp_path / "target", allowed).size == 5
    for uri in (str(outside), f"{audio.parent}/../outside.mp3", str(audio.parent / "link.mp3")):
        with pytest.raises(SourceRefused, match="TRANSCRIPTION_SOURCE_FOLDERS"):
            fetch(uri, tmp_path / "target", allowed)


def test_no_source_is_opened_by_default(settings: Callable[..., Settings], tmp_path: Path) -> None:
    assert list(open_sources(settings())) == []
    configured = settings(
        source_directory=tmp_path,
        source_s3="s3://recordings/in",
        source_sqs="https://sqs.us-east-1.amazonaws.com/1/events",
        ib_url_template="https://media.example.org/{uuid}",
        ib_list_url="https://media.example.org/list",
    )
    assert [source.name for source in open_sources(configured)] == ["directory", "s3", "sqs", "ib"]
