"""Checks before a batch starts: its model, its worklist, and a source for each recording."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transcription_dagster.database.connection import Engine
from transcription_dagster.database.recordings import Recording, find_recording, register
from transcription_dagster.errors import InvalidWorklist, UnknownModel
from transcription_dagster.sources.addresses import keep_whole_url
from transcription_dagster.sources.ib import ib_uri
from transcription_dagster.sources.worklist_entries import Entry
from transcription_dagster.sources.worklists import WorklistResults
from transcription_dagster.store.object_store import ObjectStore
from transcription_dagster.whisper.models.files import is_model_path, known_models


@dataclass(frozen=True, slots=True)
class BatchInput:
    """The input of a batch."""

    worklist: WorklistResults
    #: Entries to process.
    entries: tuple[Entry, ...]
    #: Config of the asset `transcript`; empty: the stack's settings apply.
    speech: Mapping[str, Any] = field(default_factory=dict)
    #: Executors that may work on the batch; None: all.
    threads: int | None = None
    keep_going: bool = False


def unfinished_entries(worklist: WorklistResults, skip: int = 0) -> tuple[Entry, ...]:
    """Return the entries after the first `skip` that are not done, including failed ones."""
    return tuple(entry for entry in worklist.entries[skip:] if entry.status != "done")


def checked_model(model: str) -> str:
    """Return a model's name, or the absolute path of a checkpoint or of a model's folder. Raises `UnknownModel`."""
    path = Path(model).expanduser()
    # Knowing the models takes the seconds of Whisper's import, and a checkpoint's path does not require it.
    if os.sep not in model and path.suffix != ".pt" and model in known_models():
        return model
    if is_model_path(path):
        return str(path.absolute())
    raise UnknownModel(f"{model!r} is neither the path of a model nor a known model; see `transcription models list`")


def register_recordings(engine: Engine, store: ObjectStore, batch: BatchInput, ib_url_template: str | None) -> None:
    """Register the batch's recordings in the database.

    Raises `InvalidWorklist`, with a line for each recording without a known source, before writing anything.
    """
    recordings, problems = [], []
    for entry in batch.entries:
        if not entry.may_transcribe and find_recording(engine, entry.uuid) is None:
            problems.append(
                f"{batch.worklist.path}: entry {entry.position}: {entry.uuid} is not known, so it has no transcript "
                f"for the job `{entry.job}`"
            )
            continue
        source = entry.source if entry.may_transcribe else None
        source = source or _known_source(engine, entry.uuid, ib_url_template)
        if source is None:
            problems.append(
                f"{batch.worklist.path}: entry {entry.position}: has no `source`, and {entry.uuid} is not known"
            )
        else:
            recordings.append(
                Recording(
                    entry.uuid,
                    source,
                    title=entry.title,
                    language=entry.language,
                    languages=entry.languages,
                    vocabulary=entry.vocabulary,
                    speakers=entry.speakers,
                    speaker_names=entry.speaker_names,
                    channels=entry.channels,
                )
            )
    if problems:
        raise InvalidWorklist("\n".join(problems))
    for recording in recordings:
        keep_whole_url(store, recording.uuid, recording.source)
    register(engine, recordings)


def _known_source(engine: Engine, uuid: str, ib_url_template: str | None) -> str | None:
    recording: Recording | None = find_recording(engine, uuid)
    if recording is not None:
        return recording.source
    return ib_uri(ib_url_template, uuid) if ib_url_template else None
