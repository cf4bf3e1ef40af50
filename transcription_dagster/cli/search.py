"""`transcription search`: search recordings by words and meaning."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.text import Text
from typing_extensions import TypedDict, Unpack

from transcription_dagster.cli.arguments import RECORDING
from transcription_dagster.cli.connection import open_cli_database
from transcription_dagster.cli.terminal import printable
from transcription_dagster.database.connection import Engine
from transcription_dagster.errors import TranscriptionError
from transcription_dagster.language.codes import whisper_language
from transcription_dagster.search.index import EmbeddingModel, models_in_use
from transcription_dagster.search.query import MATCH_END, MATCH_START, Embedding, Hit
from transcription_dagster.search.query import search as search_database
from transcription_dagster.settings import Settings, load_settings
from transcription_dagster.shared_settings import with_shared_settings
from transcription_dagster.stack.plan import base_url
from transcription_dagster.stack.stack import ui_address
from transcription_dagster.transcripts.plain_text import clock


class SearchFilters(TypedDict, total=False):
    """Conditions on the results; see `search.query.search`."""

    limit: int
    language: str | None
    since: datetime | None
    until: datetime | None
    recording: str | None
    speaker: str | None


_DATE = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])


@click.command()
@click.argument("text")
@click.option(
    "--limit",
    type=click.IntRange(1, 100),
    default=10,
    show_default=True,
    metavar="N",
    help="Maximum number of results.",
)
@click.option("--language", metavar="CODE", help="Only recordings in this language, such as en.")
@click.option("--since", type=_DATE, metavar="DATE", help="Only recordings last modified at this time (UTC) or later.")
@click.option("--until", type=_DATE, metavar="DATE", help="Only recordings last modified before this time (UTC).")
@click.option("--recording", type=RECORDING, help="Only this recording's UUID.")
@click.option("--speaker", metavar="NAME", help="Only what this speaker said; NAME as captions show it.")
@click.option("--words-only", is_flag=True, help="Match words only, without loading the embedding model.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as a JSON list.")
def search(
    text: str,
    limit: int,
    language: str | None,
    since: datetime | None,
    until: datetime | None,
    recording: str | None,
    speaker: str | None,
    words_only: bool,
    as_json: bool,
) -> None:
    """Find where something was said, by words and by meaning.

    TEXT may contain "quoted phrases", `or`, and -words that must not occur. Matching words are marked ⟦like this⟧ when
    the output is not a terminal. DATE looks like 2026-05-31 or 2026-05-31T18:30:00.
    """
    if not text.strip():
        raise click.UsageError("TEXT is empty: give words to search for.")
    show_hits(
        load_settings(),
        text,
        words_only=words_only,
        as_json=as_json,
        limit=limit,
        language=whisper_language(language),
        since=since and since.replace(tzinfo=UTC),
        until=until and until.replace(tzinfo=UTC),
        recording=recording,
        speaker=speaker,
    )


def show_hits(
    settings: Settings, text: str, *, words_only: bool = False, as_json: bool = False, **filters: Unpack[SearchFilters]
) -> None:
    """Print the answers to a query, with a link to each recording."""
    with open_cli_database(settings) as engine:
        settings = with_shared_settings(settings, engine)
        embedding = None if words_only else _embedding(engine, settings, text)
        hits = search_database(engine, text, embedding, **filters)
    base = ui_address(settings) or base_url(settings.host, settings.port)
    links = [_link(base, hit) for hit in hits]
    if as_json:
        answers = [
            asdict(hit) | {"recorded_at": hit.recorded_at.isoformat(), "link": link}
            for hit, link in zip(hits, links, strict=True)
        ]
        click.echo(json.dumps(answers, indent=2, ensure_ascii=False))
    else:
        _print(hits, links)


def _embedding(engine: Engine, settings: Settings, text: str) -> Embedding | None:
    """Return the query's embedding by the model that embeds recordings.

    Returns None, with a message on standard error, if there is no such model or it embedded no recording.
    """
    from transcription_dagster.search.embedder import open_embedder

    used = models_in_use(engine)
    try:
        embedder = open_embedder(settings)
        # Compare the name first: finding out a model's dimensions requires loading it.
        if any(model.name == embedder.model for model in used):
            model = EmbeddingModel(embedder.model, embedder.dimensions)
            if model in used:
                return Embedding(model, embedder.encode([text])[0])
        reason = f"no recording has embeddings from {embedder.model}"
    except TranscriptionError as error:
        reason = str(error)
    click.echo(f"Searching by words only: {printable(reason)}", err=True)
    return None


def _link(base: str, hit: Hit) -> str:
    """Return the URL of the moment on the recording's page in the reading room."""
    return f"{base}/recordings/{hit.recording}?t={hit.start:.1f}"


def _print(hits: Sequence[Hit], links: Sequence[str]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    if not hits:
        click.echo("Nothing was found.", err=True)
    for number, (hit, link) in enumerate(zip(hits, links, strict=True), start=1):
        heading = Text.assemble((f"{number}. {printable(hit.title or hit.recording)}", "bold"), "  ")
        heading.append(f"{clock(hit.start)} to {clock(hit.end)}", "cyan")
        if hit.speakers:
            heading.append(f"  {printable(', '.join(hit.speakers))}", "magenta")
        console.print(heading)
        console.print(Text("   ").append_text(_snippet(hit.snippet, styled=console.is_terminal)))
        console.print(Text(f"   {link}", "dim"))


def _snippet(snippet: str, *, styled: bool) -> Text:
    text = printable(snippet)
    if not styled:
        return Text(text)
    return Text.assemble(*_parts(text))


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Return the pieces of a marked text with their styles."""
    before, *matches = text.split(MATCH_START)
    yield before, ""
    for piece in matches:
        match, _, after = piece.partition(MATCH_END)
        yield match, "bold yellow"
        yield after, ""
