from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from transcription_dagster.errors import SourceNotFound, SourceRefused, SourceUnavailable, UnusableAudio
from transcription_dagster.sources.base import pages
from transcription_dagster.sources.download import DownloadLimits, download
from transcription_dagster.sources.s3 import S3File, S3Source, split_s3_uri
from transcription_dagster_tests.s3_server import AwsServer
from transcription_dagster_tests.sources.web_server import Reply, Request, web_server

pytestmark = pytest.mark.slow

ONE = "00000000-0000-4000-8000-000000000001"
AUDIO = os.urandom(2_000_000)
LIMITS = DownloadLimits(max_bytes=10_000_000, seconds=30.0, stall_seconds=1.0, pause_seconds=0.01)


@pytest.fixture
def bucket(aws: AwsServer):
    aws.make_bucket("recordings")

    def put(key: str, body: bytes = b"x") -> None:
        aws.client("s3").put_object(Bucket="recordings", Key=key, Body=body)

    return put


def paged(source: S3Source, size: int) -> S3Source:
    source.page_size = size
    return source


def uris(url: str, page_size: int = 1000) -> list[str]:
    return [file.uri for page in pages(paged(S3Source(url), page_size), None, 60) for file in page.objects]


@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_media_files_below_the_prefix_are_listed_in_pages(bucket, page_size: int) -> None:
    for key in ("in/a.mp3", "in/b/c.wav", "in/notes.txt", "in/d.FLAC", "in/", "into/x.mp3", "y.mp3"):
        bucket(key)
    expected = [f"s3://recordings/{key}" for key in ("in/a.mp3", "in/b/c.wav", "in/d.FLAC")]
    assert uris("s3://recordings/in", page_size) == expected
    assert uris("s3://recordings/in/", page_size) == expected


def test_a_whole_bucket_can_be_listed(bucket) -> None:
    bucket("a.mp3")
    bucket("b/c.mp3")
    assert uris("s3://recordings") == ["s3://recordings/a.mp3", "s3://recordings/b/c.mp3"]


def test_an_object_is_described(bucket) -> None:
    bucket(f"in/{ONE}.mp3", AUDIO)
    (described,) = S3Source("s3://recordings/in").list(None, 10).objects
    assert (described.uuid, described.size, described.etag) == (ONE, len(AUDIO), hashlib.md5(AUDIO).hexdigest())
    assert described.modified is not None


def test_a_changed_object_is_listed_again(bucket) -> None:
    for name in ("a", "b", "c"):
        bucket(f"in/{name}.mp3")
    source = S3Source("s3://recordings/in")
    first = source.list(None, 2)
    last_page = source.list(first.cursor, 2)
    assert last_page.exhausted
    assert last_page.cursor is None
    bucket("in/a.mp3", b"changed")
    relisted = source.list(last_page.cursor, 2)
    assert relisted.objects[0].uuid == first.objects[0].uuid
    assert relisted.objects[0].etag != first.objects[0].etag
    assert relisted.objects[1] == first.objects[1]


STRANGE = ["in/a b+c%20.mp3", "in/ünï/é.mp3", "in/a/../b.mp3", "in/a//b.mp3", "in/quote'\".mp3"]


@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_unusual_keys_are_listed_and_fetched(bucket, tmp_path: Path, page_size: int) -> None:
    for key in STRANGE:
        bucket(key, key.encode())
    listed = uris("s3://recordings/in", page_size)
    assert sorted(listed) == sorted(f"s3://recordings/{key}" for key in STRANGE)
    for uri in listed:
        download(S3File(uri, LIMITS), tmp_path / "audio", LIMITS)
        assert f"s3://recordings/{(tmp_path / 'audio').read_text()}" == uri


def test_a_key_with_a_newline_is_listed_and_fetched(
    aws: AwsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listing = """<ListBucketResult><IsTruncated>false</IsTruncated><EncodingType>{}</EncodingType><Contents>
        <Key>in/new{}line.mp3</Key><LastModified>2026-11-23T10:00:00.000Z</LastModified><ETag>"e"</ETag><Size>1</Size>
        </Contents></ListBucketResult>"""

    def answer(request: Request) -> Reply:
        if "list-type" in request.path:
            encoding = ("url", "%0A") if "encoding-type=url" in request.path else ("", "&#10;")
            return Reply(headers={"Content-Type": "application/xml"}, body=listing.format(*encoding).encode())
        return s3_answer(b"audio") if request.path == "/recordings/in/new%0Aline.mp3" else Reply(404)

    with web_server(answer) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        (uri,) = uris("s3://recordings/in")
        assert uri == "s3://recordings/in/new\nline.mp3"
        download(S3File(uri, LIMITS), tmp_path / "audio", LIMITS)
    assert (tmp_path / "audio").read_bytes() == b"audio"


def test_an_object_is_downloaded_completely(bucket, tmp_path: Path) -> None:
    bucket("a.mp3", AUDIO)
    version = download(S3File("s3://recordings/a.mp3", LIMITS), tmp_path / "audio", LIMITS)
    assert (tmp_path / "audio").read_bytes() == AUDIO
    assert (version.size, version.etag) == (len(AUDIO), hashlib.md5(AUDIO).hexdigest())


def test_a_multipart_etag_is_not_an_md5(bucket, aws: AwsServer, tmp_path: Path) -> None:
    client = aws.client("s3")
    upload = client.create_multipart_upload(Bucket="recordings", Key="a.mp3")["UploadId"]
    tags = []
    for number, part in enumerate((os.urandom(5 * 1024 * 1024), b"end"), 1):
        arguments = {"Bucket": "recordings", "Key": "a.mp3", "UploadId": upload, "PartNumber": number, "Body": part}
        tags.append({"PartNumber": number, "ETag": client.upload_part(**arguments)["ETag"]})
    client.complete_multipart_upload(Bucket="recordings", Key="a.mp3", UploadId=upload, MultipartUpload={"Parts": tags})
    version = download(S3File("s3://recordings/a.mp3", LIMITS), tmp_path / "audio", LIMITS)
    assert version.digest is None
    assert (tmp_path / "audio").stat().st_size == 5 * 1024 * 1024 + 3


def test_an_object_that_vanished_is_not_found(bucket, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match=r"Could not read s3://recordings/gone\.mp3: .*NoSuchKey"):
        download(S3File("s3://recordings/gone.mp3", LIMITS), tmp_path / "audio", LIMITS)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_object_and_a_large_one_are_refused(bucket, tmp_path: Path) -> None:
    bucket("empty.mp3", b"")
    bucket("large.mp3", AUDIO)
    with pytest.raises(UnusableAudio, match="is empty"):
        download(S3File("s3://recordings/empty.mp3", LIMITS), tmp_path / "audio", LIMITS)
    small = DownloadLimits(max_bytes=1_999_999, seconds=30.0, stall_seconds=1.0)
    with pytest.raises(SourceRefused, match="2000000 bytes or more, over the limit of 1999999"):
        download(S3File("s3://recordings/large.mp3", small), tmp_path / "audio", small)


def s3_answer(
    content: bytes,
    sent: int | None = None,
    etag: str | None = None,
    status: int = 200,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Reply:
    etag = etag or hashlib.md5(content).hexdigest()
    all_headers = {"ETag": f'"{etag}"', "Content-Type": "audio/mpeg", **headers}
    return Reply(status, all_headers, content[:sent], announced=None if sent is None else len(content))


def test_a_broken_download_is_resumed(aws: AwsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    etag = hashlib.md5(AUDIO).hexdigest()

    def answer(request: Request) -> Reply:
        if "range" not in request.headers:
            return s3_answer(AUDIO, sent=1_500_000)
        first = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
        extent = f"bytes {first}-{len(AUDIO) - 1}/{len(AUDIO)}"
        return s3_answer(AUDIO[first:], etag=etag, status=206, headers={"Content-Range": extent})

    with web_server(answer) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        download(S3File("s3://recordings/a.mp3", LIMITS), tmp_path / "audio", LIMITS)
    assert (tmp_path / "audio").read_bytes() == AUDIO
    assert server.requests[1].headers["if-match"] == f'"{etag}"'


def test_an_object_that_changes_during_a_download_is_fetched_again(
    aws: AwsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    replies = iter([s3_answer(AUDIO, sent=1_500_000), Reply(412), s3_answer(b"another version")])
    with web_server(lambda request: next(replies)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        download(S3File("s3://recordings/a.mp3", LIMITS), tmp_path / "audio", LIMITS)
    assert (tmp_path / "audio").read_bytes() == b"another version"


def test_content_that_does_not_match_its_md5_is_refused(
    aws: AwsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with web_server(lambda request: s3_answer(b"damaged", etag="0" * 32)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        with pytest.raises(SourceUnavailable, match="wrong md5 checksum"):
            download(S3File("s3://recordings/a.mp3", LIMITS), tmp_path / "audio", LIMITS)


def test_the_etag_of_a_kms_encrypted_object_is_not_an_md5(
    aws: AwsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    encrypted = s3_answer(b"content", etag="0" * 32, headers={"x-amz-server-side-encryption": "aws:kms"})
    with web_server(lambda request: encrypted) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        download(S3File("s3://recordings/a.mp3", LIMITS), tmp_path / "audio", LIMITS)
    assert (tmp_path / "audio").read_bytes() == b"content"


DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


def test_a_bucket_without_permission_is_refused(
    aws: AwsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with web_server(lambda request: Reply(403, {"Content-Type": "application/xml"}, DENIED)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        with pytest.raises(SourceRefused, match=r"s3://recordings/a\.mp3: Access Denied"):
            download(S3File("s3://recordings/a.mp3", LIMITS), tmp_path / "audio", LIMITS)
        with pytest.raises(SourceRefused, match="Could not list s3://recordings/"):
            S3Source("s3://recordings").list(None, 10)


def test_a_missing_bucket_is_named_in_the_error(aws: AwsServer) -> None:
    with pytest.raises(SourceRefused, match=r"Could not list s3://nobody-made-this/: .*bucket does not exist"):
        S3Source("s3://nobody-made-this").list(None, 10)


@pytest.mark.parametrize("uri", ["s3://", "s3:///key", "s3://A/b", "https://bucket/key", "s3://a/../b", "bucket/key"])
def test_an_invalid_object_url_is_refused(uri: str) -> None:
    with pytest.raises(SourceRefused, match="is not the address of an object"):
        split_s3_uri(uri)


def test_a_bucket_url_is_not_an_object() -> None:
    with pytest.raises(SourceRefused, match="names a bucket"):
        S3File("s3://bucket", LIMITS)
