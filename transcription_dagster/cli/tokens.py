"""`transcription tokens`: tokens for programs that use the API."""

from __future__ import annotations

import sys

import click

from transcription_dagster.cli.connection import open_cli_database
from transcription_dagster.database import tokens as known
from transcription_dagster.database.tokens import TokenScope
from transcription_dagster.settings import load_settings


@click.group()
def tokens() -> None:
    """Create, list and revoke tokens for the API."""


@tokens.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice([str(scope) for scope in TokenScope]),
    multiple=True,
    required=True,
    help="What the program may do; repeatable.",
)
def create(name: str, scopes: tuple[str, ...]) -> None:
    """Create a token for the program NAME and print it.

    The token is shown only once. Scopes: `read` lists, searches and reads recordings; `correct` changes texts, speakers
    and the vocabulary; `submit` has recordings transcribed. Where TRANSCRIPTION_PUBLISH is redacted, `read-unredacted`
    is needed in addition to read or correct the whole text.
    """
    with open_cli_database(load_settings()) as engine:
        click.echo(known.create(engine, name, {TokenScope(scope) for scope in scopes}))


@tokens.command(name="list")
def list_tokens() -> None:
    """List all tokens with their scopes, age and state."""
    with open_cli_database(load_settings()) as engine:
        listed = known.list_tokens(engine)
        if not listed:
            click.echo("There are no tokens; `transcription tokens create NAME --scope read` creates one.", err=True)
        for token in listed:
            state = f"revoked {token.revoked_at:%Y-%m-%d}" if token.revoked_at else "in use"
            click.echo(f"{token.name}\t{','.join(sorted(token.scopes))}\t{token.created_at:%Y-%m-%d}\t{state}")


@tokens.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke the token NAME.

    Exit codes: 0 it is revoked, 1 no valid token has this name.
    """
    with open_cli_database(load_settings()) as engine:
        if not known.revoke(engine, name):
            click.echo(f"There is no token {name!r} in use.", err=True)
            sys.exit(1)
