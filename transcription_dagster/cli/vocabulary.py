"""`transcription vocabulary`: what is wrong with a vocabulary."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from transcription_dagster.vocabulary.corrections import problems
from transcription_dagster.vocabulary.files import read_vocabulary


@click.group()
def vocabulary() -> None:
    """Look after the vocabulary."""


@vocabulary.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check(file: Path) -> None:
    """Find duplicates, terms that correct each other and terms that are common words in FILE (YAML or CSV).

    Exit codes: 0 nothing is wrong, 1 something is, 2 FILE is missing.
    """
    terms = read_vocabulary(file)
    found = problems(terms)
    for problem in found:
        click.echo(problem)
    variants = sum(len(term.variants) for term in terms)
    click.echo(f"{len(terms)} terms, {variants} variants, {len(found)} problems", err=True)
    sys.exit(1 if found else 0)
