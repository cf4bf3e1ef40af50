"""Recordings in an S3 bucket."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import obstore
from obstore.exceptions import BaseError

from transcription_dagster.aws import aws_client, aws_errors, error_code
from transcription_dagster.errors import SourceNotFound, SourceRefused, SourceUnavailable, StoreRefused
from transcription_dagster.sources.base import Listing, SourceObject, is_media, recording_of
from transcription_dagster.sources.download import DownloadLimits, SourceAnswer, Version
from transcription_dagster.store.obstore_access import open_remote

_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?\Z", re.DOTALL)
_MD5 = re.compile(r"[0-9a-f]{32}\Z")
_CHUNK_BYTES = 1024 * 1024


class _Entry(NamedTuple):
    key: str
    size: int
    etag: str
    modified: datetime


class S3Source:
    """Lists the media files below a prefix of a bucket in key order.

    Each listing covers the whole bucket, because neither keys nor modification times show what is new: a multipart
    upload carries the time at which it began.
    """

    name = "s3"
    page_size = 1000

    def __init__(self, url: str) -> None:
        """Raise `SourceRefused` if `url` is not `s3://bucket` or `s3://bucket/prefix`."""
        self._bucket, prefix = split_s3_uri(url)
        self._prefix = prefix and prefix.rstrip("/") + "/"
        self._url = s3_uri(self._bucket, self._prefix)

    def list(self, cursor: str | None, limit: int) -> Listing:
        """List the objects after `cursor`, the percent-encoded last key: keys may hold what Postgres rejects."""
        entries = self._listed(unquote(cursor) if cursor else "", limit)
        exhausted = len(entries) < limit
        return Listing(
            objects=tuple(self._object(entry) for entry in entries if is_media(entry.key)),
            cursor=None if exhausted else quote(entries[-1].key),
            exhausted=exhausted,
        )

    def acknowledge(self, receipts: Sequence[str]) -> None:
        """Do nothing: the objects stay in the bucket."""

    def _object(self, entry: _Entry) -> SourceObject:
        uri = s3_uri(self._bucket, entry.key)
        return SourceObject(recording_of(uri, entry.key), uri, entry.size, entry.etag, entry.modified)

    def _listed(self, after: str, limit: int) -> Sequence[_Entry]:
        """List with obstore, which is many times faster, or with boto3 for keys that obstore rejects, such as a//b or
        a/../b.
        """
        try:
            return tuple(islice(self._entries_by_obstore(after), limit))
        except (BaseError, OSError, ValueError, StoreRefused):
            with aws_errors(f"Could not list {self._url}", refused=SourceRefused, unavailable=SourceUnavailable):
                return tuple(islice(self._entries_by_boto3(after), limit))

    def _entries_by_obstore(self, after: str) -> Iterator[_Entry]:
        for batch in obstore.list(self._store, prefix=self._prefix or None, offset=after or None, chunk_size=1000):
            for meta in batch:
                # obstore removes the trailing slash from a folder marker's key, so the marker would sort after itself.
                if meta["path"] == after:
                    continue
                yield _Entry(meta["path"], meta["size"], (meta["e_tag"] or "").strip('"'), meta["last_modified"])

    def _entries_by_boto3(self, after: str) -> Iterator[_Entry]:
        paginator = self._client.get_paginator("list_objects_v2")
        for page in paginator.paginate(Bucket=self._bucket, Prefix=self._prefix, StartAfter=after):
            for item in page.get("Contents", ()):
                yield _Entry(item["Key"], item["Size"], item["ETag"].strip('"'), item["LastModified"])

    @cached_property
    def _store(self) -> Any:
        return open_remote(s3_uri(self._bucket, ""), retries=0)

    @cached_property
    def _client(self) -> Any:
        return aws_client("s3", retries="standard")


class S3File:
    """One object in a bucket."""

    def __init__(self, uri: str, limits: DownloadLimits) -> None:
        """Raise `SourceRefused` if `uri` is not `s3://bucket/key`."""
        self.uri = uri
        self._bucket, self._key = split_s3_uri(uri)
        if not self._key:
            raise SourceRefused(f"{uri!r} names a bucket, not an object in it")
        self._stall_seconds = limits.stall_seconds

    @contextmanager
    def open(self, offset: int, version: Version | None) -> Iterator[SourceAnswer]:
        """Request the object from `offset` on; see `download.Remote`."""
        with aws_errors(
            f"Could not read {self.uri}",
            refused=SourceRefused,
            unavailable=SourceUnavailable,
            missing=SourceNotFound,
        ):
            answer, offset = self._get(offset, version)
            with closing(answer["Body"]) as body:
                yield SourceAnswer(_version(answer, offset), offset, body.iter_chunks(_CHUNK_BYTES))

    def _get(self, offset: int, version: Version | None) -> tuple[Mapping[str, Any], int]:
        from botocore.exceptions import ClientError

        whole = {"Bucket": self._bucket, "Key": self._key, "ChecksumMode": "ENABLED"}
        if not (offset and version):
            return self._client.get_object(**whole), 0
        try:
            return self._client.get_object(**whole, Range=f"bytes={offset}-", IfMatch=f'"{version.etag}"'), offset
        except ClientError as error:
            if error_code(error) not in ("PreconditionFailed", "412", "InvalidRange"):
                raise
            return self._client.get_object(**whole), 0

    @cached_property
    def _client(self) -> Any:
        return aws_client("s3", retries="standard", read_seconds=self._stall_seconds)


def s3_uri(bucket: str, key: str) -> str:
    """Return the URI of an object with the key unescaped, as AWS's own tools write it."""
    return f"s3://{bucket}/{key}"


def split_s3_uri(uri: str) -> tuple[str, str]:
    """Return the bucket and key of a URI. Raises `SourceRefused` if it is not an S3 URI."""
    match = _URI.match(uri)
    if not match:
        raise SourceRefused(f"{uri!r} is not the address of an object: s3://bucket/key")
    return match[1], match[2] or ""


def _version(answer: Mapping[str, Any], offset: int) -> Version:
    etag = answer["ETag"].strip('"')
    return Version(offset + answer["ContentLength"], etag, _digest(answer, etag))


def _digest(answer: Mapping[str, Any], etag: str) -> tuple[str, str] | None:
    """Return the digest of the whole object if S3 reports one.

    An ETag is the content's MD5 unless the object was uploaded in parts or is encrypted with a KMS or customer key:
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
    """
    if answer.get("ChecksumType") == "FULL_OBJECT" and answer.get("ChecksumSHA256"):
        return "sha256", base64.b64decode(answer["ChecksumSHA256"]).hex()
    own_key = answer.get("SSECustomerAlgorithm") or answer.get("ServerSideEncryption", "AES256") != "AES256"
    return ("md5", etag) if _MD5.match(etag) and not own_key else None
