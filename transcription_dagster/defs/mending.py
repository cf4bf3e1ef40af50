"""The cheapest job that mends a recording, from what Dagster knows of its assets."""

from __future__ import annotations

from collections.abc import Collection

import dagster as dg

from transcription_dagster.defs.all_assets import all_assets
from transcription_dagster.defs.jobs import smallest_job
from transcription_dagster.settings import Settings

_FROM_AUDIO = frozenset({"audio", "transcript"})


class Mending:
    """Chooses jobs for worklists. The assets of all recordings are read once, when it is made."""

    def __init__(self, instance: dg.DagsterInstance, settings: Settings) -> None:
        self._assets = all_assets(settings)
        self._settings = settings
        #: Asset name -> the recordings that have it.
        self._made = {
            key.path[-1]: instance.get_materialized_partitions(key) for asset in self._assets for key in asset.keys
        }
        # Only a question to Claude that still waits needs one, and asking again is part of refining.
        self._made.pop("refinement_request", None)

    def job(self, recording: str, outdated: Collection[str] = (), *, failed: bool = False) -> str | None:
        """The cheapest job after which the recording has every asset, those in `outdated` made anew.

        None: it has to be transcribed. The transcript of a recording that `failed` is used again only if it was
        imported: its audio may be another one by now.
        """
        is_imported = self.is_imported(recording)
        if recording not in self._made["transcript"] or (failed and not is_imported):
            return None
        needed = {asset for asset, recordings in self._made.items() if recording not in recordings} | set(outdated)
        if is_imported:
            needed -= _FROM_AUDIO
        if failed:
            needed.add("refined_txt")
        if needed & _FROM_AUDIO:
            return None
        return smallest_job(needed | {"publication"}, self._settings, self._assets)

    def is_imported(self, recording: str) -> bool:
        """Whether the recording's transcript came without its audio, from `transcription import`."""
        return recording in self._made["transcript"] and recording not in self._made["audio"]
