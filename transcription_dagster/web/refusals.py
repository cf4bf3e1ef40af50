"""Refuse requests: a page to a browser, JSON to a program. The page needs no session: its style is in it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.templating import Jinja2Templates
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

#: RFC 6455, status 1008: policy violation.
_POLICY_VIOLATION = 1008

_templates = Jinja2Templates(Path(__file__).parent / "templates")


@dataclass(frozen=True, slots=True)
class WayBack:
    """The link on a page that refuses a request."""

    path: str
    label: str


TO_LIST = WayBack("/recordings", "All recordings")
TO_LOGIN = WayBack("/login", "Log in")


def accepts_pages(request: HTTPConnection) -> bool:
    """Return whether the request is that of a browser that shows the response."""
    return "text/html" in request.headers.get("accept", "")


def card_response(
    request: Request,
    template: str,
    values: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Render a page that consists of one card and works without a session."""
    nonce = secrets.token_urlsafe(16)
    policy = f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'"
    all_headers = {**(headers or {}), "Content-Security-Policy": f"{policy}; frame-ancestors 'none'"}
    return _templates.TemplateResponse(request, template, {**values, "nonce": nonce}, status, headers=all_headers)


def refusal_response(
    request: Request, status: int, complaint: str, way_back: WayBack | None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the response that refuses a request; `complaint` is a sentence."""
    if not accepts_pages(request):
        return JSONResponse({"error": complaint}, status, headers)
    values = {"phrase": HTTPStatus(status).phrase, "complaint": complaint, "way_back": way_back}
    return card_response(request, "refusal.html", values, status=status, headers=headers)


async def refuse_request(
    scope: Scope,
    receive: Receive,
    send: Send,
    status: int,
    complaint: str,
    way_back: WayBack | None,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Refuse a request before it reaches the application; close a websocket before it opens."""
    if scope["type"] == "websocket":
        await WebSocketClose(_POLICY_VIOLATION, complaint)(scope, receive, send)
    else:
        await refusal_response(Request(scope), status, complaint, way_back, headers)(scope, receive, send)
