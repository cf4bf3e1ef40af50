from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transcription_dagster.errors import SourceNotFound
from transcription_dagster.model import RECORDING_NAMESPACE
from transcription_dagster.sources.base import pages, recording_of
from transcription_dagster.sources.directory import DirectorySource

ONE = "00000000-0000-4000-8000-00000000000a"


def write(path: Path | bytes, age: float = 60.0, content: bytes = b"x") -> None:
    path = Path(os.fsdecode(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    moment = time.time() - age
    os.utime(path, (moment, moment))


def paged(source: DirectorySource, size: int) -> DirectorySource:
    source.page_size = size
    return source


def uris(folder: Path, page_size: int = 100) -> list[str]:
    return [file.uri for page in pages(paged(DirectorySource(folder), page_size), None, 60) for file in page.objects]


def test_media_files_are_found_in_folders_of_folders_in_order(tmp_path: Path) -> None:
    names = ["a.mp3", "b/c/d.WAV", "b/e.flac", "b.mp4", "z.opus"]
    for name in (*names, "notes.txt", "b/x.json", ".hidden.mp3", ".trash/y.mp3"):
        write(tmp_path / name)
    assert uris(tmp_path) == [(tmp_path / name).as_uri() for name in names]


@pytest.mark.parametrize("page_size", [1, 2, 3, 4, 100])
def test_each_file_is_on_exactly_one_page_of_any_size(tmp_path: Path, page_size: int) -> None:
    names = ["a.mp3", "a/b.mp3", "a/b/c.mp3", "a b.mp3", "a-b/c.mp3", "ab.mp3", "é.mp3"]
    for name in names:
        write(tmp_path / name)
    listed = uris(tmp_path, page_size)
    assert len(listed) == len(names)
    assert set(listed) == {(tmp_path / name).as_uri() for name in names}


@settings(deadline=None)
@given(
    st.sets(st.text("ab/-", min_size=1, max_size=6).filter(lambda t: "//" not in t and t.strip("/") == t), max_size=8)
)
def test_paged_listing_equals_complete_listing(tmp_path_factory: pytest.TempPathFactory, names: set[str]) -> None:
    folder = tmp_path_factory.mktemp("folder")
    for name in names:
        write(folder / f"{name}.mp3")
    assert uris(folder, 1) == uris(folder, 100)
    assert len(uris(folder)) == len(names)


def test_file_names_that_are_not_utf_8_are_listed(tmp_path: Path) -> None:
    write(os.fsencode(tmp_path) + b"/\xff\n'\".mp3")
    write(tmp_path / "ÿ.mp3")
    source = DirectorySource(tmp_path)
    first = source.list(None, 1)
    second = source.list(first.cursor, 1)
    files = [*first.objects, *second.objects]
    assert len({file.uri for file in files}) == 2
    assert f"{first.cursor}{files[0].uri}{files[1].uri}".isascii()


def test_a_file_is_described(tmp_path: Path) -> None:
    path = tmp_path / f"{ONE.upper()}.mp3"
    write(path, content=b"four")
    (file,) = DirectorySource(tmp_path).list(None, 10).objects
    assert file.uuid == ONE
    assert file.size == 4
    assert file.modified is not None
    assert file.modified.timestamp() == pytest.approx(path.stat().st_mtime)


def test_a_changed_file_has_another_etag(tmp_path: Path) -> None:
    write(tmp_path / "a.mp3", age=60)
    before = DirectorySource(tmp_path).list(None, 10).objects
    write(tmp_path / "a.mp3", age=50)
    after = DirectorySource(tmp_path).list(None, 10).objects
    assert before[0].uuid == after[0].uuid
    assert before[0].etag != after[0].etag
    assert DirectorySource(tmp_path).list(None, 10).objects == after


def test_a_recently_modified_file_is_not_listed_yet(tmp_path: Path) -> None:
    write(tmp_path / "a.mp3", age=0)
    assert uris(tmp_path) == []
    write(tmp_path / "a.mp3", age=60)
    assert len(uris(tmp_path)) == 1


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write(outside / "secret.mp3")
    watched = tmp_path / "watched"
    write(watched / "a.mp3")
    (watched / "link.mp3").symlink_to(outside / "secret.mp3")
    (watched / "folder").symlink_to(outside)
    (watched / "loop").symlink_to(watched)
    assert uris(watched) == [(watched / "a.mp3").as_uri()]


def test_an_unreadable_subfolder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "closed" / "a.mp3")
    write(tmp_path / "open.mp3")
    real = os.scandir

    def scandir(folder: bytes):
        if folder.endswith(b"closed"):
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    listing = DirectorySource(tmp_path).list(None, 10)
    assert len(listing.objects) == 1
    assert len(listing.problems) == 1
    assert "closed' cannot be listed: Permission denied" in listing.problems[0]


def test_a_file_that_cannot_be_described_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("closed.mp3", "late.mp3", "moved.mp3", "open.mp3"):
        write(tmp_path / name)
    real = os.stat

    def stat(path: bytes, **options: bool) -> os.stat_result:
        if path.endswith(b"closed.mp3"):
            raise PermissionError(13, "Permission denied")
        if path.endswith(b"moved.mp3"):
            raise NotADirectoryError
        status = real(path, **options)
        return os.stat_result((*status[:8], 10**12, status.st_ctime)) if path.endswith(b"late.mp3") else status

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", stat)
        listing = DirectorySource(tmp_path).list(None, 10)
    assert [file.uri for file in listing.objects] == [(tmp_path / "open.mp3").as_uri()]
    closed, late = listing.problems
    assert "closed.mp3' cannot be read: Permission denied" in closed
    assert "late.mp3' is left out: its modification time" in late


def test_a_missing_folder_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="nowhere does not exist"):
        DirectorySource(tmp_path / "nowhere").list(None, 10)


def test_a_name_that_is_not_a_uuid_gives_a_uuid_from_the_uri() -> None:
    assert recording_of("s3://b/talk.mp3", "talk.mp3") == str(uuid.uuid5(RECORDING_NAMESPACE, "s3://b/talk.mp3"))
    assert recording_of("s3://b/x", f"folder/{ONE}.mp3") == ONE


def test_listing_stops_at_the_time_limit(tmp_path: Path) -> None:
    for name in "abc":
        write(tmp_path / f"{name}.mp3")
    listed = list(pages(paged(DirectorySource(tmp_path), 1), None, seconds=0))
    assert len(listed) == 1
    assert not listed[0].exhausted
