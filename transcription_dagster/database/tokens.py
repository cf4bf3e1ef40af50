"""Tokens of programs that use the API. The database stores only their digests."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, func, insert, select, update

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.tables import TokenRow
from transcription_dagster.errors import InvalidToken

#: Prefix of every token, by which people and secret scanners recognise one.
_PREFIX = "transcription_"


class TokenScope(StrEnum):
    """What a token lets a program do."""

    #: List, search and read recordings and results.
    READ = "read"
    #: Read text that redaction removes, where only redacted files are published.
    READ_UNREDACTED = "read-unredacted"
    #: Change texts, speakers and the vocabulary.
    CORRECT = "correct"
    #: Have recordings transcribed.
    SUBMIT = "submit"


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A stored token, without the token itself."""

    name: str
    scopes: frozenset[TokenScope]
    created_at: datetime
    revoked_at: datetime | None


def create(engine: Engine, name: str, scopes: Collection[TokenScope]) -> str:
    """Create a token and return it; it cannot be shown again. Raises `InvalidToken` if the name is taken or empty."""
    if not name.strip() or not name.isprintable() or not scopes:
        raise InvalidToken("a token needs a name that can be printed, and at least one scope")
    token = _PREFIX + secrets.token_urlsafe(32)
    values = {"name": name, "digest": _digest(token), "scopes": sorted(scopes)}
    with transaction(engine) as connection:
        if connection.execute(select(TokenRow.name).where(TokenRow.name == name)).first():
            raise InvalidToken(f"there is a token {name!r} already; a revoked one keeps its name")
        connection.execute(insert(TokenRow).values(**values))
    return token


def find(engine: Engine, token: str) -> TokenRecord | None:
    """Return a valid token's record; None if it is unknown or revoked."""
    if not token.startswith(_PREFIX):
        return None
    with transaction(engine) as connection:
        statement = select(TokenRow.__table__).where(TokenRow.digest == _digest(token), TokenRow.revoked_at.is_(None))
        row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else _token(row)


def list_tokens(engine: Engine) -> list[TokenRecord]:
    """Return all tokens by name, including revoked ones."""
    statement = select(TokenRow.__table__).order_by(TokenRow.name)
    with transaction(engine) as connection:
        return [_token(row) for row in connection.execute(statement).mappings()]


def revoke(engine: Engine, name: str) -> bool:
    """Revoke a token; return False if there is no valid token with this name."""
    statement = update(TokenRow).where(TokenRow.name == name, TokenRow.revoked_at.is_(None))
    with transaction(engine) as connection:
        return connection.execute(statement.values(revoked_at=func.now())).rowcount > 0


def _digest(token: str) -> str:
    # 256 random bits need no slow hash.
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _token(row: Mapping[Any, Any]) -> TokenRecord:
    scopes = frozenset(TokenScope(scope) for scope in row["scopes"])
    return TokenRecord(row["name"], scopes, row["created_at"], row["revoked_at"])
