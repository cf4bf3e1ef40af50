"""Metadata of assets and checks for the Dagster UI: counts as numbers, values as Markdown previews and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from transcription_dagster.captions.quality import Finding, Severity, caption_findings, changed_share
from transcription_dagster.captions.subtitles import to_srt
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.insights.findings import Insights
from transcription_dagster.model import Cue, Edit, Transcript, Word
from transcription_dagster.refinement.edits import Dropped
from transcription_dagster.refinement.results import Refined
from transcription_dagster.settings import Settings
from transcription_dagster.transcripts.plain_text import clock, join_words

#: Maximum rows of a table.
_ROWS = 20

#: Words per row if the transcript has no segments.
_WORDS = 12

#: The metadata with quotations from a recording.
_QUOTATIONS = frozenset(
    {"preview", "removed_list", "doubtful_list", "edit_list", "dropped_list", "phrases", "names", "places"}
)


def without_quotations(metadata: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the metadata that Dagster may show: no quotations if only redacted files are published.

    Dagster keeps metadata in its event log, where redaction does not reach them.
    """
    hidden = _QUOTATIONS if settings.publish == "redacted" else frozenset[str]()
    return {name: value for name, value in metadata.items() if name not in hidden}


def transcript_preview(transcript: Transcript) -> str:
    """Return the transcript's beginning as a table of times and text."""
    rows = [(clock(words[0].start), join_words(words)) for words in _stretches(transcript)]
    return table(("time", "text"), rows) if rows else "*No speech.*"


def text_preview(text: str, *, characters: int = 1200) -> str:
    """Return the beginning of a text verbatim."""
    excerpt = text if len(text) <= characters else f"{text[:characters]}\n…"
    # A fence longer than any in the text, so that the text cannot end the preview.
    fence = "`" * max(3, 1 + max((len(run) for run in _backtick_runs(excerpt)), default=0))
    return f"{fence}text\n{excerpt}\n{fence}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of the first rows, with all cell text escaped."""
    lines = [_row(head), _row(["---"] * len(head)), *(_row(map(_escaped, row)) for row in rows[:_ROWS])]
    if len(rows) > _ROWS:
        lines.append(f"\n*and {len(rows) - _ROWS} more*")
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _stretches(transcript: Transcript) -> list[Sequence[Word]]:
    if transcript.segments:
        spans = [transcript.words[segment.first : segment.stop] for segment in transcript.segments]
    else:
        spans = [transcript.words[start : start + _WORDS] for start in range(0, len(transcript.words), _WORDS)]
    return [span for span in spans if span]


def _escaped(text: str) -> str:
    line = " ".join(text.split())
    return "".join(f"\\{character}" if character in r"\`*_{}[]()<>#+-!|~" else character for character in line)


def _backtick_runs(text: str) -> list[str]:
    return ["`" * len(run) for run in "".join(c if c == "`" else " " for c in text).split()]


def insight_metadata(insights: Insights) -> dict[str, Any]:
    """Return the analyser, the counts and the first findings."""
    phrases = [(phrase.text, f"{phrase.score:.2f}") for phrase in insights.key_phrases]
    entities = [(entity.text, entity.type, f"{entity.score:.2f}") for entity in insights.entities]
    shares = [
        (contribution.speaker, f"{contribution.share:.0%}", str(contribution.turns), str(contribution.questions))
        for contribution in insights.speakers
    ]
    return {
        "analyser": insights.analyser,
        "key_phrases": len(insights.key_phrases),
        "entities": len(insights.entities),
        **({"language": insights.languages[0].code} if insights.languages else {}),
        **({"sentiment": insights.sentiment.label} if insights.sentiment else {}),
        **({"phrases": dg.MetadataValue.md(table(("phrase", "score"), phrases))} if phrases else {}),
        **({"names": dg.MetadataValue.md(table(("entity", "type", "score"), entities))} if entities else {}),
        **(
            {"speakers": dg.MetadataValue.md(table(("speaker", "share", "turns", "questions"), shares))}
            if shares
            else {}
        ),
        **({"notes": " ".join(insights.notes)} if insights.notes else {}),
    }


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


def check_result(
    check: str, asset: str, findings: Sequence[Finding], settings: Settings | None = None
) -> dg.AssetCheckResult:
    """Return a passed check without findings; otherwise a failed one with the worst severity and all places.

    `settings` are those of a check whose findings quote the recording.
    """
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    places = [(finding.kind, f"{finding.place:g}", finding.message) for finding in findings]
    metadata = {
        "findings": len(findings),
        "errors": errors,
        **({"places": dg.MetadataValue.md(table(("kind", "place", "what"), places))} if findings else {}),
    }
    return dg.AssetCheckResult(
        passed=not findings,
        check_name=check,
        asset_key=asset,
        severity=dg.AssetCheckSeverity.ERROR if errors else dg.AssetCheckSeverity.WARN,
        metadata=without_quotations(metadata, settings) if settings else metadata,
    )


def well_formed(asset: str) -> dg.AssetCheckSpec:
    """Return the check of an asset that holds captions; `caption_result` gives its result."""
    return dg.AssetCheckSpec(
        "well_formed", asset=asset, partitions_def=recordings, description="Cues are whole and within limits."
    )


def caption_result(asset: str, cues: Sequence[Cue]) -> dg.MaterializeResult[str]:
    """Return cues as SubRip, with their number and the result of their check."""
    return dg.MaterializeResult(
        value=to_srt(cues),
        metadata={"cues": len(cues)},
        check_results=[check_result("well_formed", asset, caption_findings(cues))],
    )
