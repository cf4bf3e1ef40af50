"""Recordings in the organisation's media library (IB)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from pydantic import AwareDatetime, BaseModel, NonNegativeInt, ValidationError

from transcription_dagster.atomic_files import replacing
from transcription_dagster.errors import InvalidRecordingId, InvalidSetting, SourceRefused
from transcription_dagster.model import recording_id
from transcription_dagster.settings import Settings
from transcription_dagster.sources.base import Listing, SourceObject
from transcription_dagster.sources.http import WebClient

#: Dagster's cursor is one of the last few; older ones are never requested again.
_MOST_ADDRESSES = 100

_LISTING_BYTES = 16 * 1024 * 1024


class StoredAddresses:
    """The last hundred URLs from the library, in a file that only its owner can read.

    They may contain secrets. A sensor's cursor is stored in Dagster's database and shown on its pages, so it names
    such an address only by its digest.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def keep(self, address: str) -> str:
        """Return the name by which `find` returns the address."""
        name = hashlib.sha256(address.encode()).hexdigest()
        addresses = self._read()
        addresses.pop(name, None)
        addresses[name] = address
        with replacing(self._file) as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(json.dumps(dict(list(addresses.items())[-_MOST_ADDRESSES:])).encode())
        return name

    def find(self, name: str) -> str | None:
        """Return an address by its name; None if it is not kept, as on another machine."""
        return self._read().get(name)

    def _read(self) -> dict[str, str]:
        try:
            return json.loads(self._file.read_bytes())
        except FileNotFoundError:
            return {}


class _Entry(BaseModel):
    uuid: str
    size: NonNegativeInt | None = None
    etag: str | None = None
    modified: AwareDatetime | None = None


class _Page(BaseModel):
    #: Validated one by one, so that an invalid entry does not discard the page.
    recordings: list[Any]
    next: str | None = None


def ib_uri(template: str, recording: str) -> str:
    """Return the URL of a recording. Raises `InvalidRecordingId`."""
    return template.replace("{uuid}", recording_id(recording))


class IbSource:
    """Lists the library through its listing endpoint.

    `GET {ib_list_url}?limit=N` answers `{"recordings": [{"uuid", "size", "etag", "modified"}, ...], "next": URL}`. Only
    the UUID is required; the last page has no `next`.
    """

    name = "ib"
    page_size = 500

    def __init__(self, settings: Settings) -> None:
        """Raise `InvalidSetting` if the URL template or the listing URL is not set."""
        if not (settings.ib_url_template and settings.ib_list_url):
            raise InvalidSetting(
                "Listing the media library needs TRANSCRIPTION_IB_URL_TEMPLATE and TRANSCRIPTION_IB_LIST_URL"
            )
        self._template = settings.ib_url_template
        self._list_url = settings.ib_list_url
        self._client = WebClient(settings)
        self._pages = StoredAddresses(settings.home / "sources" / "ib_pages.json")

    def list(self, cursor: str | None, limit: int) -> Listing:
        """List a page. The cursor names the stored URL of the next page, which may contain a secret.

        If that URL is not stored, for example on another machine, the listing starts over.
        """
        url = (cursor and self._pages.find(cursor)) or _with_limit(self._list_url, limit)
        page = self._page(url)
        problems: list[str] = []
        objects: list[SourceObject] = []
        for entry in page.recordings:
            try:
                objects.append(self._object(_Entry.model_validate(entry)))
            except (InvalidRecordingId, ValidationError) as error:
                reason = "; ".join(part.strip() for part in str(error).splitlines()[:3])
                problems.append(f"{str(entry)[:80]!r} is left out: {reason}")
        return Listing(
            objects=tuple(objects),
            cursor=self._pages.keep(urljoin(url, page.next)) if page.next else None,
            exhausted=not page.next,
            problems=tuple(problems),
        )

    def acknowledge(self, receipts: Sequence[str]) -> None:
        """Do nothing: the library has no messages to delete."""

    def _page(self, url: str) -> _Page:
        with self._client.get(url, {"Accept": "application/json"}) as response:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > _LISTING_BYTES:
                    raise SourceRefused(f"{url} answered with more than {_LISTING_BYTES} bytes; reduce its page size")
        try:
            return _Page.model_validate_json(bytes(body))
        except ValidationError:
            raise SourceRefused(
                f'{url} did not answer with {{"recordings": [...], "next": URL}} but {bytes(body[:80])!r}'
            ) from None

    def _object(self, entry: _Entry) -> SourceObject:
        return SourceObject(
            uuid=recording_id(entry.uuid),
            uri=ib_uri(self._template, entry.uuid),
            size=entry.size,
            etag=entry.etag or (entry.modified.isoformat() if entry.modified else str(entry.size or "")),
            modified=entry.modified,
        )


def _with_limit(url: str, limit: int) -> str:
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode({'limit': limit})}"
