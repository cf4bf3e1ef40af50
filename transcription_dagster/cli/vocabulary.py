"""`transcription vocabulary`: check a vocabulary for mistakes."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from transcription_dagster.vocabulary.corrections import problems
from transcription_dagster.vocabulary.files import read_vocabulary


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
    found = problems(terms)
    for problem in found:
        click.echo(problem)
    variants = sum(len(term.variants) for term in terms)
    click.echo(f"{len(terms)} terms, {variants} variants, {len(found)} problems", err=True)
    sys.exit(1 if found else 0)
