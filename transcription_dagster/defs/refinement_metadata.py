"""Metadata of a refinement for the Dagster UI: counts and costs as numbers, edits as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from transcription_dagster.captions.quality import changed_share
from transcription_dagster.defs.previews import table
from transcription_dagster.model import Edit, Transcript
from transcription_dagster.refinement.edits import Dropped
from transcription_dagster.refinement.results import Refined
from transcription_dagster.transcripts.plain_text import join_words


def refinement_metadata(transcript: Transcript, refined: Refined) -> dict[str, Any]:
    """Return the edits of the transcript and their cost."""
    usage = refined.usage
    return {
        "refinement": str(refined.status),
        "note": refined.note,
        "model": refined.model,
        "words": len(refined.words),
        "changed_share": changed_share(join_words(transcript.words), join_words(refined.words)),
        "edits": len(refined.edits),
        "dropped_edits": len(refined.dropped),
        "unrefined_words": refined.unrefined_words,
        "paragraphs": len(refined.paragraphs),
        "requests": refined.windows,
        "kept_answers": refined.kept,
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "cache_read_tokens": usage.cache_read,
        "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
        **({} if refined.dollars is None else {"dollars": refined.dollars}),
        **({"edit_list": dg.MetadataValue.md(_edits(refined.edits))} if refined.edits else {}),
        **({"dropped_list": dg.MetadataValue.md(_dropped(refined.dropped))} if refined.dropped else {}),
        **({"failed_windows": dg.MetadataValue.md(_failures(refined))} if refined.failures else {}),
    }


def _edits(edits: Sequence[Edit]) -> str:
    return table(("kind", "was", "became"), [(edit.kind, edit.old, edit.new) for edit in edits])


def _dropped(dropped: Sequence[Dropped]) -> str:
    return table(("was", "would be", "dropped because"), [(d.edit.old, d.edit.new, d.reason) for d in dropped])


def _failures(refined: Refined) -> str:
    return table(("words", "why"), [(f"{f.first} to {f.stop - 1}", f.reason) for f in refined.failures])
