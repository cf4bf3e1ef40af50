"""The jobs that people launch and backfill, and that sensors and batches request; partitioned like their assets.

Also which of them, the cheapest, repairs a recording.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

import dagster as dg

from transcription_dagster.defs.all_assets import all_assets, code_versions
from transcription_dagster.defs.assets.redaction import NAMES as REDACTED
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.refinement_batches import (
    REFINED,
    exchange_refinements,
    refine_again,
    request_refinement,
)
from transcription_dagster.settings import Settings
from transcription_dagster.sources.worklist_entries import JOBS

_assets = dg.AssetSelection.assets

#: The peaks are made from the audio, but do not require it: without audio they are empty.
_FROM_TRANSCRIPT = (_assets("transcript").downstream() - _assets("transcript")) | _assets("peaks")
_TEXTS_AND_CAPTIONS = _assets(
    "transcript_txt", "captions_srt", "captions_vtt", "refined_srt", "refined_vtt", "peaks", "reading"
)
#: Part of every job, because recordings of earlier versions lack these assets; making them costs nothing.
_CORRECTED = _assets("corrected_txt", "corrected_json")

#: Job descriptions, by the name in worklists.
_DESCRIPTIONS: Mapping[str, str] = {
    "publish": "Publishes a recording again from its existing files: the row in Postgres and the index "
    '`recording.json`. Worklists: "publish".',
    "reindex": "Embeds a recording again, for example after a change of the embedding model, and publishes it. "
    'Worklists: "reindex".',
    "captions": "Makes text, captions, refined captions, the reading room's files and embeddings again, for example "
    "after a change of the caption rules, and publishes. No transcription, no requests to Claude. "
    'Worklists: "captions".',
    "rebuild": "Makes everything after the transcript and the refined text again, including insights; those two stay "
    'as they are. No transcription, no requests to Claude. Worklists: "rebuild".',
    "refine": "Makes everything after the transcript again, including the refined text: for a new vocabulary or "
    'Claude model, and for imported transcripts. No transcription. Worklists: "refine".',
    "speakers": "Diarizes the recording and makes everything after the transcript again, for recordings that were "
    'transcribed before the models of speakers were installed. No transcription. Worklists: "speakers".',
    "transcribe": "Makes everything for a recording: audio, transcript, captions and the rest. Replaces an imported "
    'transcript by Whisper\'s. Worklists: "transcribe".',
}
#: Appended if Claude answers in batches.
_LATER = " The refined text and what is made from it follow when Claude has answered the next Message Batch."

#: The job that applies people's corrections to a recording.
APPLY_CORRECTIONS = "apply_corrections"

_FROM_AUDIO = frozenset({"audio", "transcript"})


def selections(settings: Settings) -> Mapping[str, dg.AssetSelection]:
    """Return the assets that each worklist job refreshes, by job name, from the cheapest job to the most expensive.

    If Claude answers in batches, `refine` and `transcribe` make some of them at once, and the rest follows later.
    """
    from_claude = (
        _assets("refined_txt", "refinement_request") if settings.refinement == "batch" else _assets("refined_txt")
    )
    return {
        "publish": _CORRECTED | _assets("publication"),
        "reindex": _CORRECTED | _assets("embeddings").downstream(),
        "captions": _CORRECTED | (_TEXTS_AND_CAPTIONS | _assets("embeddings")).downstream() | _redacted(settings),
        "rebuild": _FROM_TRANSCRIPT - from_claude,
        "refine": _FROM_TRANSCRIPT,
        "speakers": _assets("speakers") | _FROM_TRANSCRIPT,
        "transcribe": dg.AssetSelection.all(),
    }


def cheapest_job(assets: Collection[str], settings: Settings, existing: Sequence[dg.AssetsDefinition]) -> str:
    """Return the worklist name of the cheapest job that refreshes these assets of a recording.

    `existing` holds all assets that exist with these settings.
    """
    keys = {dg.AssetKey(asset) for asset in assets}
    covers = selections(settings).items()
    return next(job for job, selection in covers if keys <= selection.resolve(existing))


def _redacted(settings: Settings) -> dg.AssetSelection:
    """Return the redacted files, if enabled: captions and corrections change them."""
    return _assets(*(REDACTED if settings.redact else ()))


def _apply_corrections(settings: Settings) -> dg.UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        APPLY_CORRECTIONS,
        selection=_CORRECTED | _assets("refined_srt", "refined_vtt", "embeddings", "publication") | _redacted(settings),
        description="Makes the corrected text, its captions, its redacted files, its embeddings and the publication. A "
        "sensor requests this job after people have corrected a recording. No transcription, no requests to Claude.",
    )


def jobs(settings: Settings) -> Sequence[dg.UnresolvedAssetJobDefinition | dg.JobDefinition]:
    """Return the jobs for these settings."""
    in_batches = [refine_again, request_refinement, exchange_refinements] if settings.refinement == "batch" else []
    by_worklists = [_job(name, settings, selection) for name, selection in selections(settings).items()]
    return [*by_worklists, _apply_corrections(settings), *in_batches]


def _job(name: str, settings: Settings, selection: dg.AssetSelection) -> dg.UnresolvedAssetJobDefinition:
    description = _DESCRIPTIONS[name]
    if settings.refinement == "batch" and name in ("refine", "speakers", "transcribe"):
        selection, description = selection - REFINED, description + _LATER
    return dg.define_asset_job(JOBS[name], selection=selection, description=description)


class JobChooser:
    """Chooses jobs for worklists. Reads the state of all assets once, when it is created."""

    def __init__(self, instance: dg.DagsterInstance, settings: Settings) -> None:
        self._instance = instance
        self._assets = all_assets(settings)
        self._settings = settings
        #: Asset name -> the recordings that have it.
        self._made = {
            key.path[-1]: instance.get_materialized_partitions(key) for asset in self._assets for key in asset.keys
        }
        # A request to Claude exists only while it waits, and refining creates it again.
        self._made.pop("refinement_request", None)
        # Older recordings lack it, and making it would call Claude again.
        self._made.pop("speakers")

    def job(self, recording: str, outdated: Collection[str] = (), *, failed: bool = False) -> str | None:
        """Return the cheapest job that gives the recording every asset and refreshes those in `outdated`.

        None means that it must be transcribed. A `failed` recording continues at the assets that failed: with its
        transcript, if that was made with the present settings, and otherwise from the source.
        """
        is_imported = self.is_imported(recording)
        if recording not in self._made["transcript"]:
            return None
        assets = {asset for asset, recordings in self._made.items() if recording not in recordings} | set(outdated)
        if failed:
            broken = self._failed_assets(recording)
            if not is_imported and (not broken or not self._is_current("transcript", recording)):
                return None
            assets |= broken or {"refined_txt"}
        if is_imported:
            assets -= _FROM_AUDIO
        if assets & _FROM_AUDIO:
            return None
        return cheapest_job(assets | {"publication"}, self._settings, self._assets)

    def is_imported(self, recording: str) -> bool:
        """Return whether the recording's transcript came from `transcription import`, without audio."""
        return recording in self._made["transcript"] and recording not in self._made["audio"]

    def _failed_assets(self, recording: str) -> set[str]:
        """Return the assets that the recording's last run to make them did not make, because of a failure."""
        return {asset for asset, failed in self._failed.items() if recording in failed}

    @cached_property
    def _failed(self) -> Mapping[str, Collection[str]]:
        """Return, by asset, the recordings with a transcript whose last attempt to make the asset failed."""
        transcribed = list(self._made["transcript"])
        found: dict[str, Collection[str]] = {}
        for asset in (*self._made, "speakers"):
            statuses = self._instance.get_status_by_partition(dg.AssetKey(asset), transcribed, recordings) or {}
            found[asset] = {uuid for uuid, status in statuses.items() if status is dg.AssetPartitionStatus.FAILED}
        return found

    @cached_property
    def _code_versions(self) -> Mapping[str, str]:
        return code_versions(self._settings)

    def _is_current(self, asset: str, recording: str) -> bool:
        """Return whether the asset was made with the code version that the settings give it now."""
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[recording])
        [latest] = self._instance.fetch_materializations(wanted, limit=1).records
        materialization = latest.asset_materialization
        tags = materialization.tags if materialization and materialization.tags else {}
        return tags.get("dagster/code_version") == self._code_versions[asset]
