"""The jobs that people launch and backfill, and that sensors and batches ask for; partitioned as their assets are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import dagster as dg

from transcription_dagster.defs.refinement_exchange import exchange_refinements
from transcription_dagster.settings import Settings
from transcription_dagster.sources.worklists import JOBS

_assets = dg.AssetSelection.assets

#: What is made from a recording's refined text, with it.
_REFINED = _assets("refined_txt").downstream()
_FROM_TRANSCRIPT = _assets("transcript").downstream() - _assets("transcript")
_TEXTS_AND_CAPTIONS = _assets("transcript_txt", "captions_srt", "captions_vtt", "refined_srt", "refined_vtt")
#: Part of every job: it costs nothing, and recordings made by an earlier version of the program do not have it.
_CORRECTED = _assets("corrected_txt")

#: By a job's name in worklists.
_DESCRIPTIONS: Mapping[str, str] = {
    "publish": "The recording's row in Postgres and its index `recording.json`, from the files that exist. "
    'Worklists: "publish".',
    "reindex": "The vectors that search finds a recording by, as after a change of the embedding model, and the "
    'publication. Worklists: "reindex".',
    "captions": "Text, captions, refined captions and vectors, as after a change of the caption rules, and the "
    'publication. No transcription, and nothing is asked of Claude. Worklists: "captions".',
    "rebuild": "Everything made from the transcript and the refined text, insights included; both stay as they are. "
    'No transcription, and nothing is asked of Claude. Worklists: "rebuild".',
    "refine": "Everything made from the transcript, the refined text included. No transcription: for a new vocabulary "
    'or Claude model, and for imported transcripts. Worklists: "refine".',
    "transcribe": "Everything for a recording: audio, transcript, captions and all that is made from them. It replaces "
    'an imported transcript by Whisper\'s. Worklists: "transcribe".',
}
#: Added where Claude answers in batches.
_LATER = " The refined text and what is made from it follow when Claude has answered the next Message Batch."

refine_again = dg.define_asset_job(
    "refine_again",
    selection=_REFINED,
    description="The refined text of a recording and all that is made from it, from Claude's answers in a Message "
    "Batch. A sensor asks for it once they are there.",
)

request_refinement = dg.define_asset_job(
    "request_refinement",
    selection=_assets("refinement_request"),
    description="Ask for a recording to be refined in the next Message Batch; `refine_again` follows by itself.",
)


apply_corrections = dg.define_asset_job(
    "apply_corrections",
    selection=_CORRECTED | _assets("refined_srt", "refined_vtt", "embeddings", "publication"),
    description="The corrected text, its captions, the vectors that search finds it by, and the publication. A sensor "
    "asks for it when people have corrected a recording. No transcription, and nothing is asked of Claude.",
)


def selections(settings: Settings) -> Mapping[str, dg.AssetSelection]:
    """What each job of worklists brings up to date, by its name there, from the cheapest job to the dearest.

    Where Claude answers in batches, `refine` and `transcribe` make a part of it at once, and the rest follows.
    """
    asked = _assets("refined_txt", "refinement_request") if settings.refinement == "batch" else _assets("refined_txt")
    return {
        "publish": _CORRECTED | _assets("publication"),
        "reindex": _CORRECTED | _assets("embeddings").downstream(),
        "captions": _CORRECTED | (_TEXTS_AND_CAPTIONS | _assets("embeddings")).downstream(),
        "rebuild": _FROM_TRANSCRIPT - asked,
        "refine": _FROM_TRANSCRIPT,
        "transcribe": dg.AssetSelection.all(),
    }


def smallest_job(assets: Collection[str], settings: Settings, known: Sequence[dg.AssetsDefinition]) -> str:
    """The name, in worklists, of the cheapest job that brings these assets of a recording up to date.

    `known` holds all assets that exist with these settings.
    """
    wanted = {dg.AssetKey(asset) for asset in assets}
    covers = selections(settings).items()
    return next(job for job, selection in covers if wanted <= selection.resolve(known))


def jobs(settings: Settings) -> Sequence[dg.UnresolvedAssetJobDefinition | dg.JobDefinition]:
    """The jobs that exist with these settings."""
    in_batches = [refine_again, request_refinement, exchange_refinements] if settings.refinement == "batch" else []
    by_worklists = [_job(name, settings, selection) for name, selection in selections(settings).items()]
    return [*by_worklists, apply_corrections, *in_batches]


def _job(name: str, settings: Settings, selection: dg.AssetSelection) -> dg.UnresolvedAssetJobDefinition:
    description = _DESCRIPTIONS[name]
    if settings.refinement == "batch" and name in ("refine", "transcribe"):
        selection, description = selection - _REFINED, description + _LATER
    return dg.define_asset_job(JOBS[name], selection=selection, description=description)
