"""`transcription refine` and `transcription vocabulary`: correct a transcript, and check the vocabulary for it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from transcription_dagster import api
from transcription_dagster.captions.cue_corrections import correct_cues
from transcription_dagster.captions.cues import make_cues
from transcription_dagster.captions.subtitles import to_srt, to_vtt
from transcription_dagster.cli.arguments import INPUT, OUTPUT, output_format, read_transcript_file, write_output
from transcription_dagster.cli.terminal import printable_lines
from transcription_dagster.model import Cue, Transcript
from transcription_dagster.refinement.edit_anchors import corrected_transcript
from transcription_dagster.refinement.results import Refined, RefinementSettings, RefinementStatus
from transcription_dagster.settings import Settings, load_settings
from transcription_dagster.transcripts.amazon_json import write_transcript
from transcription_dagster.vocabulary.files import read_vocabulary
from transcription_dagster.vocabulary.variants import problems

_FORMATS: dict[str, Callable[[Transcript, Refined], str]] = {
    "txt": lambda transcript, refined: refined.text,
    "srt": lambda transcript, refined: to_srt(_cues(transcript, refined)),
    "vtt": lambda transcript, refined: to_vtt(_cues(transcript, refined)),
    "json": lambda transcript, refined: write_transcript(corrected_transcript(transcript, refined.edits)) + "\n",
}


@click.command()
@click.argument("file", type=INPUT)
@click.option(
    "--vocabulary",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML or CSV file of terms.  [default: TRANSCRIPTION_VOCABULARY]",
)
@click.option("--to", "kind", type=click.Choice(list(_FORMATS)), help="Format; else the extension of -o, else txt.")
@click.option("-o", "--output", type=OUTPUT, help="File to write; else standard output.")
def refine(file: str, vocabulary: Path | None, kind: str | None, output: str | None) -> None:
    """Correct a transcript with a vocabulary and Claude.

    FILE (- for standard input) is a transcript.json of this program or of Amazon Transcribe. Claude needs
    ANTHROPIC_API_KEY; without it, only the vocabulary is applied. Standard error lists what was done.
    """
    target_format = output_format(kind, output, tuple(_FORMATS)) or "txt"
    settings = load_settings()
    source = vocabulary or settings.vocabulary
    terms = read_vocabulary(source) if source else []
    transcript = read_transcript_file(file)
    refined = api.refine(
        transcript, terms, claude=settings.refinement != "off", settings=RefinementSettings.of(settings)
    )
    write_output(output, _FORMATS[target_format](transcript, refined))
    click.echo(printable_lines(_summary(refined, settings)), err=True)


def _cues(transcript: Transcript, refined: Refined) -> Sequence[Cue]:
    return correct_cues(make_cues(transcript.words, duration=transcript.duration), refined.text)


def _summary(refined: Refined, settings: Settings) -> str:
    kinds = Counter(edit.kind for edit in refined.edits)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()) or "none"
    parts = [f"{refined.status}: {len(refined.edits)} edits ({counts})"]
    if refined.status is RefinementStatus.REFINED:
        parts.append(f"{len(refined.dropped)} dropped")
        cost = "at an unknown price" if refined.dollars is None else f"for ${refined.dollars:.4f}"
        parts.append(f"by {settings.claude_model} {cost}")
    lines = [", ".join(parts), *([refined.note] if refined.note else [])]
    lines += [f"dropped: {drop.edit.old!r} -> {drop.edit.new!r}: {drop.reason}" for drop in refined.dropped]
    return "\n".join(lines)


@click.group()
def vocabulary() -> None:
    """Check a vocabulary file."""


@vocabulary.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check(file: Path) -> None:
    """Check a vocabulary FILE (YAML or CSV) for mistakes.

    It reports duplicates, terms that correct each other, and terms that are common words. Exit codes: 0 no mistakes,
    1 mistakes, 2 FILE is missing.
    """
    terms = read_vocabulary(file)
    mistakes = problems(terms)
    for problem in mistakes:
        click.echo(problem)
    variants = sum(len(term.variants) for term in terms)
    click.echo(f"{len(terms)} terms, {variants} variants, {len(mistakes)} problems", err=True)
    sys.exit(1 if mistakes else 0)
