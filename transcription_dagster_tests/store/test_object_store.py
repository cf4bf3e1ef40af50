"""The store on disk and in a bucket; differences have their own tests."""

from __future__ import annotations

import errno
import os
import traceback
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.exceptions import GenericError, PermissionDeniedError

from transcription_dagster.errors import (
    InvalidRecordingId,
    InvalidSetting,
    SourceNotFound,
    StoreRefused,
    StoreUnavailable,
)
from transcription_dagster.store.object_store import ObjectStore, object_key, signed_source
from transcription_dagster.store.obstore_access import obstore_errors
from transcription_dagster_tests.s3_server import AwsServer
from transcription_dagster_tests.sources.web_server import Reply, web_server

pytestmark = pytest.mark.slow

ONE = "00000000-0000-4000-8000-000000000001"
TWO = "00000000-0000-4000-8000-000000000002"
KEY = f"{ONE}/transcript.json"


@pytest.fixture(params=["disk", "bucket", "folder of a bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "disk":
        return ObjectStore((tmp_path / "a store, with spaces").as_uri())
    request.getfixturevalue("aws").make_bucket("results")
    return ObjectStore("s3://results" + ("/some/folder" if "folder" in request.param else ""))


def test_written_objects_are_read_back(store: ObjectStore) -> None:
    store.put_bytes(KEY, b"one")
    assert store.get_bytes(KEY) == b"one"
    store.put_bytes(KEY, b"two")
    assert store.get_bytes(KEY) == b"two"


def test_a_large_file_is_written_and_read_in_parts(store: ObjectStore, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "new folder" / "back"
    source.write_bytes(os.urandom(20 * 1024 * 1024 + 1))
    store.put_file(KEY, source)
    store.download(KEY, back)
    assert back.read_bytes() == source.read_bytes()


def test_an_object_is_a_file_of_this_machine(store: ObjectStore, tmp_path: Path) -> None:
    store.put_bytes(KEY, b"content")
    folder = tmp_path / "scratch"
    folder.mkdir()
    path = store.file(KEY, folder)
    assert path.read_bytes() == b"content"
    assert path == (store.local_path(KEY) or folder / KEY.rpartition("/")[2])


def test_head_describes_the_object(store: ObjectStore) -> None:
    store.put_bytes(KEY, b"one")
    first = store.head(KEY)
    assert first is not None
    assert (first.key, first.size) == (KEY, 3)
    store.put_bytes(KEY, b"another")
    second = store.head(KEY)
    assert second is not None
    assert first.etag
    assert '"' not in first.etag
    assert second.etag != first.etag
    assert first.modified.tzinfo is not None
    assert first.modified <= second.modified


def test_missing_objects_are_reported(store: ObjectStore, tmp_path: Path) -> None:
    assert store.head(KEY) is None
    with pytest.raises(SourceNotFound, match=r"transcript\.json.*does not exist"):
        store.get_bytes(KEY)
    with pytest.raises(SourceNotFound):
        store.download(KEY, tmp_path / "back")
    assert list(tmp_path.glob("back*")) == []
    assert list(tmp_path.glob(".*")) == []


def test_deleting_a_missing_object_succeeds(store: ObjectStore) -> None:
    store.put_bytes(KEY, b"one")
    store.delete(KEY)
    store.delete(KEY)
    assert store.head(KEY) is None


def test_list_gives_one_recording_or_all(store: ObjectStore) -> None:
    assert list(store.list()) == []
    keys = {f"{ONE}/a.txt", f"{ONE}/b.txt", f"{TWO}/a.txt"}
    for key in keys:
        store.put_bytes(key, b"x")
    assert {listed.key for listed in store.list()} == keys
    assert {listed.key for listed in store.list(ONE)} == {f"{ONE}/a.txt", f"{ONE}/b.txt"}
    assert list(store.list("00000000-0000-4000-8000-000000000003")) == []


def test_a_uri_is_the_url_and_the_key(store: ObjectStore) -> None:
    assert store.uri(KEY) == f"{store.url}/{KEY}"


@pytest.mark.parametrize(
    "key",
    [
        "../secret",
        f"{ONE}/../secret",
        f"{ONE}/..",
        f"{ONE}/.hidden",
        f"{ONE}/a/b",
        f"{ONE}/",
        ONE,
        "",
        f"/{ONE}/a",
        f"{ONE}/a\n",
        f"{ONE}/a b",
        f"{ONE}/a\0",
        f"{ONE}/a%2e%2e",
        f"{ONE}\\a",
        f"{ONE.upper().replace('0', 'A')}/a",
        f"{ONE}/{'a' * 300}",
    ],
)
def test_a_key_that_is_not_a_recording_and_a_file_is_refused_everywhere(tmp_path: Path, key: str) -> None:
    (tmp_path / "secret").write_text("secret")
    store = ObjectStore((tmp_path / "store").as_uri())
    for call in (store.get_bytes, store.head, store.delete, store.uri, store.local_path):
        with pytest.raises((StoreRefused, InvalidRecordingId)):
            call(key)
    with pytest.raises((StoreRefused, InvalidRecordingId)):
        store.put_bytes(key, b"x")
    with pytest.raises((StoreRefused, InvalidRecordingId)):
        store.download(key, tmp_path / "back")


@settings(deadline=None)
@given(st.text(max_size=40))
def test_accepted_file_names_are_single_path_segments(name: str) -> None:
    try:
        key = object_key(ONE, name)
    except StoreRefused:
        return
    assert Path(key).parts == (ONE, name)
    assert name.isascii()
    assert not name.startswith(".")


def test_files_on_disk_are_read_in_place(tmp_path: Path) -> None:
    store = ObjectStore((tmp_path / "a store").as_uri())
    store.put_bytes(KEY, b"one")
    path = store.local_path(KEY)
    assert path is not None
    assert path.read_bytes() == b"one"
    assert path.is_relative_to(tmp_path)


def test_foreign_files_are_not_listed(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path.as_uri())
    (tmp_path / "README").write_text("x")
    (tmp_path / ONE).mkdir()
    (tmp_path / ONE / "two words").write_text("x")
    store.put_bytes(KEY, b"x")
    assert [listed.key for listed in store.list()] == [KEY]


def test_nothing_is_opened_before_the_first_call(tmp_path: Path) -> None:
    store = ObjectStore((tmp_path / "store").as_uri())
    store.uri(KEY)
    store.local_path(KEY)
    assert not (tmp_path / "store").exists()
    ObjectStore("s3://a-bucket-that-nobody-has/folder")


@pytest.mark.parametrize(
    "url", ["", "store", "/data/store", "file://host/store", "file:store", "s3://b/x?y=1", "s3://b#x"]
)
def test_what_is_not_the_url_of_a_folder_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidSetting, match="not a URL"):
        ObjectStore(url)


def test_an_unknown_url_scheme_is_refused() -> None:
    with pytest.raises(StoreRefused, match="cannot be opened"):
        ObjectStore("gopher://host/folder").get_bytes(KEY)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreRefused, match="cannot be opened"):
        ObjectStore((tmp_path / "file" / "store").as_uri()).put_bytes(KEY, b"x")


def test_a_usable_folder_is_left_empty(tmp_path: Path) -> None:
    ObjectStore((tmp_path / "store").as_uri()).check_writable()
    assert list((tmp_path / "store").iterdir()) == []


def test_a_folder_in_the_place_of_an_object_is_refused(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path.as_uri())
    (tmp_path / ONE).write_text("a file where the recording's folder should be")
    with pytest.raises(StoreRefused, match="Could not write"):
        store.put_bytes(KEY, b"x")


def test_a_missing_bucket_is_refused_and_named(aws: AwsServer, tmp_path: Path) -> None:
    store = ObjectStore("s3://nobody-made-this/folder")
    (tmp_path / "x").write_bytes(b"x")
    with pytest.raises(StoreRefused, match="s3://nobody-made-this/folder: the bucket does not exist"):
        store.put_bytes(KEY, b"x")
    with pytest.raises(StoreRefused, match="s3://nobody-made-this/folder cannot be used: the bucket does not exist"):
        store.check_writable()
    with pytest.raises(StoreRefused, match="the bucket does not exist"):
        store.get_bytes(KEY)
    with pytest.raises(StoreRefused, match="the bucket does not exist"):
        list(store.list())


def test_without_credentials_the_message_says_what_to_set(aws: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StoreRefused, match="AWS_ACCESS_KEY_ID"):
        ObjectStore("s3://results").get_bytes(KEY)


def test_a_server_that_does_not_answer_is_unavailable(aws: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StoreUnavailable, match="Could not read"):
        ObjectStore("s3://results").get_bytes(KEY)


def test_the_endpoint_of_s3_alone_wins_over_the_one_of_all_services(
    aws: AwsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.make_bucket("results")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", aws.url)
    ObjectStore("s3://results").put_bytes(KEY, b"x")
    assert aws.client("s3").head_object(Bucket="results", Key=KEY)["ContentLength"] == 1


def test_errors_and_logs_do_not_contain_the_session_token() -> None:
    error_body = (
        "Error performing GET https://host.example/a: 403: <?xml version='1.0'?>"
        "<Error><Code>SignatureDoesNotMatch</Code>"
        "<CanonicalRequest>GET x-amz-security-token:quokka</CanonicalRequest></Error>"
    )
    refused = pytest.raises(StoreRefused, match=r"reading a: .* \(SignatureDoesNotMatch\)$")
    with refused as caught, obstore_errors("reading a"):
        raise PermissionDeniedError(error_body)
    assert "quokka" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (400, "ExpiredToken", r"the AWS credentials have expired: renew them.* \(ExpiredToken\)$"),
        (403, "InvalidAccessKeyId", r"check AWS_ACCESS_KEY_ID.* \(InvalidAccessKeyId\)$"),
        (403, "AccessDenied", r"lack a permission for this \(AccessDenied\)$"),
    ],
)
def test_a_bucket_that_refuses_says_what_to_do(
    aws: AwsServer, monkeypatch: pytest.MonkeyPatch, status: int, code: str, advice: str
) -> None:
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>no</Message></Error>'.encode()
    with web_server(lambda request: Reply(status, {"Content-Type": "application/xml"}, body)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        with pytest.raises(StoreRefused, match=advice):
            ObjectStore("s3://results").get_bytes(KEY)


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (GenericError("Generic LocalFileSystem error: no room (os error 28)"), StoreUnavailable, "free up space"),
        (GenericError("Generic LocalFileSystem error: no (os error 30)"), StoreRefused, "mount it writable"),
        (OSError(errno.ENOSPC, "No space left on device"), StoreUnavailable, "free up space"),
        (OSError(errno.EROFS, "Read-only file system"), StoreRefused, "mount it writable"),
        (PermissionError(errno.EACCES, "Permission denied"), StoreRefused, "give the user .* access"),
    ],
)
def test_a_disk_that_refuses_says_what_to_do(error: Exception, kind: type[Exception], advice: str) -> None:
    with pytest.raises(kind, match=rf"^Could not write a: .*{advice}"), obstore_errors("Could not write a"):
        raise error


def test_a_signed_link_reads_one_object_for_a_while_and_needs_no_credentials(aws: AwsServer) -> None:
    aws.make_bucket("results")
    store = ObjectStore("s3://results/folder")
    store.put_bytes(f"{ONE}/audio.flac", b"0123456789")
    for link in (
        store.signed_url(f"{ONE}/audio.flac", 60),
        signed_source(f"s3://results/folder/{ONE}/audio.flac", 60),
    ):
        assert "X-Amz-Expires=60" in link
        response = httpx.get(link, headers={"Range": "bytes=2-4"}, trust_env=False)
        assert (response.status_code, response.content) == (206, b"234")


@pytest.mark.parametrize("key", ["in/talk #1? 100%.wav", "in/a%20b+c.wav"])
def test_a_link_to_a_source_names_its_key_as_it_is(aws: AwsServer, key: str) -> None:
    aws.make_bucket("sources")
    aws.client("s3").put_object(Bucket="sources", Key=key, Body=b"sound")
    assert httpx.get(signed_source(f"s3://sources/{key}", 60), trust_env=False).content == b"sound"


@pytest.mark.parametrize("key", ["in//a.wav", "/a.wav", "in/../a.wav"])
def test_a_source_that_cannot_be_linked_is_refused(aws: AwsServer, key: str) -> None:
    with pytest.raises(StoreRefused, match="has no link"):
        signed_source(f"s3://sources/{key}", 60)


def test_files_of_a_folder_have_no_links(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="is a folder"):
        ObjectStore(tmp_path.as_uri()).signed_url(f"{ONE}/audio.flac", 60)
