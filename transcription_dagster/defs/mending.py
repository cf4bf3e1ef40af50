"""Choose the cheapest job that repairs a recording, from the state of its assets in Dagster."""

from __future__ import annotations

from collections.abc import Collection

import dagster as dg

from transcription_dagster.defs.all_assets import all_assets
from transcription_dagster.defs.jobs import smallest_job
from transcription_dagster.settings import Settings

_FROM_AUDIO = frozenset({"audio", "transcript"})


class Mending:
    """Chooses jobs for worklists. Reads the state of all assets once, when it is created."""

    def __init__(self, instance: dg.DagsterInstance, settings: Settings) -> None:
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

        None means that it must be transcribed. The transcript of a `failed` recording is reused only if it was
        imported: its audio may have changed since.
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
        """Return whether the recording's transcript came from `transcription import`, without audio."""
        return recording in self._made["transcript"] and recording not in self._made["audio"]
