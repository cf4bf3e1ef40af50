"""Protection against other sites' pages that send requests through a user's browser.

A browser sends requests to any address that a page names, 127.0.0.1 included. It states the page (`Origin`) and its
relation to the server (`Sec-Fetch-Site`); other programs state neither. See https://www.w3.org/TR/fetch-metadata/.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from transcription_dagster.web.own_names import OwnNames

#: RFC 6455, status 1008: policy violation.
_POLICY_VIOLATION = 1008

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # Dagster shows notebooks in frames on its own pages.
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
#: Pages and responses contain transcripts and must not be cached; scripts and styles may be.
_PRIVATE_TYPES = ("text/html", "application/json")


class Guard:
    """Middleware that refuses requests addressed to another server or sent by another site's page."""

    def __init__(self, app: ASGIApp, names: OwnNames) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        complaint = self._complaint(HTTPConnection(scope)) if scope["type"] in ("http", "websocket") else None
        if complaint is None:
            await self._app(scope, receive, send)
        else:
            await refuse_request(scope, receive, send, 403, complaint)

    def _complaint(self, request: HTTPConnection) -> str | None:
        """Return why the request is refused; None if it is allowed."""
        hosts, origins = request.headers.getlist("host"), request.headers.getlist("origin")
        if len(hosts) != 1 or not self._names.is_own_host(hosts[0]):
            return "unknown host name; add this server's other names to TRANSCRIPTION_UI_HOSTS"
        scheme = request.scope["scheme"]
        if not all(self._names.is_own_origin(origin, host=hosts[0], scheme=scheme) for origin in origins):
            return "requests from other sites' pages are refused; add the names of proxies to TRANSCRIPTION_UI_HOSTS"
        site = request.headers.get("sec-fetch-site", "none")
        if site not in ("same-origin", "none") and not _is_link(request.scope, request.headers):
            return "requests from other sites are refused"
        return None


class SecurityHeaders:
    """Middleware that adds security headers, unless the response sets them itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if headers.get("content-type", "").startswith(_PRIVATE_TYPES):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)


async def refuse_request(
    scope: Scope, receive: Receive, send: Send, status: int, complaint: str, **headers: str
) -> None:
    """Respond to a request with an error; close a websocket before it opens."""
    if scope["type"] == "websocket":
        await WebSocketClose(_POLICY_VIOLATION, complaint)(scope, receive, send)
    else:
        await JSONResponse({"error": complaint}, status, headers=headers)(scope, receive, send)


def _is_link(scope: Scope, headers: Headers) -> bool:
    """Return True if the user followed a link from another site, whose page cannot read the response."""
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )
