"""Who sends a request and what it may do: the scopes of a token, or everything for a logged-in browser."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import HTTPConnection, Request

from transcription_dagster.database import tokens
from transcription_dagster.database.connection import Engine
from transcription_dagster.database.tokens import TokenScope
from transcription_dagster.settings import Settings
from transcription_dagster.web import csrf
from transcription_dagster.web.csrf import Csrf

#: Paths that accept a token. The wall admits requests with a token there, because each token is checked here.
API, ASSISTANTS = "/api/", "/mcp"


class Refusal(Exception):
    """A refused request: the status and the reason."""

    def __init__(self, status: int, complaint: str) -> None:
        super().__init__(complaint)
        self.status = status
        self.complaint = complaint


@dataclass(frozen=True, slots=True)
class Access:
    """Who sends a request: the token's name, or None for a browser, whose users give their name."""

    program: str | None
    scopes: frozenset[TokenScope]


def reads_everything(access: Access, settings: Settings) -> bool:
    """Whether who asks may read what redaction takes out; where everything is published, all may."""
    return settings.publish == "all" or TokenScope.READ_UNREDACTED in access.scopes


def token_of(request: HTTPConnection) -> str | None:
    """Return a request's bearer token."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def shows_token(request: HTTPConnection) -> bool:
    """Return whether a request is authorized by its token."""
    path = request.scope["path"]
    return (path == ASSISTANTS or path.startswith(API)) and token_of(request) is not None


def access_of(engine: Engine, csrf_tokens: Csrf, request: Request) -> Access:
    """Return who sends a request. Raises `Refusal` for an unknown token, and for a browser's change from another site.

    The wall has already checked the password, if there is one.
    """
    shown = token_of(request)
    if shown is not None:
        known = tokens.find(engine, shown)
        if known is None:
            raise Refusal(401, "the token is unknown or revoked; `transcription tokens create` makes one")
        return Access(known.name, known.scopes)
    if request.method not in ("GET", "HEAD") and _is_of_browser(request):
        own = request.headers.get(csrf.HEADER, "")
        if not csrf_tokens.is_shown(request, own):
            raise Refusal(403, "the page is outdated or from another server: reload it")
    return Access(None, frozenset(TokenScope))


def _is_of_browser(request: HTTPConnection) -> bool:
    """Browsers name the requesting page or send cookies; other programs do neither."""
    headers = request.headers
    return "origin" in headers or "sec-fetch-site" in headers or "cookie" in headers
