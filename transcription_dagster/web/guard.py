"""What no other site's page may do through the browser of somebody who can reach this server.

A browser sends requests to any address that a page names, 127.0.0.1 included. It says for which page (`Origin`) and
how the two belong together (`Sec-Fetch-Site`); programs say neither. See https://www.w3.org/TR/fetch-metadata/.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from transcription_dagster.web.own_names import OwnNames

#: RFC 6455: the connection breaks a policy of the server.
_POLICY_VIOLATION = 1008

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # Dagster shows notebooks in frames of its own.
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
#: Pages and answers hold what people said; scripts and styles do not, and are worth keeping.
_PRIVATE_TYPES = ("text/html", "application/json")


class Guard:
    """Middleware that refuses requests which were not meant for this server or come from a page of another one."""

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
        """Why the request is refused; None: it is not."""
        hosts, origins = request.headers.getlist("host"), request.headers.getlist("origin")
        if len(hosts) != 1 or not self._names.is_own_host(hosts[0]):
            return "this server does not go by that name; TRANSCRIPTION_UI_HOSTS adds names"
        scheme = request.scope["scheme"]
        if not all(self._names.is_own_origin(origin, host=hosts[0], scheme=scheme) for origin in origins):
            return "requests of pages from elsewhere are refused; TRANSCRIPTION_UI_HOSTS names proxies in front"
        site = request.headers.get("sec-fetch-site", "none")
        if site not in ("same-origin", "none") and not _is_link(request.scope, request.headers):
            return "requests of other sites are refused"
        return None


class SecurityHeaders:
    """Middleware that tells browsers to keep other sites out, where the answer does not say something else itself."""

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
    """Answer a request with an error, or a websocket by not opening it."""
    if scope["type"] == "websocket":
        await WebSocketClose(_POLICY_VIOLATION, complaint)(scope, receive, send)
    else:
        await JSONResponse({"error": complaint}, status, headers=headers)(scope, receive, send)


def _is_link(scope: Scope, headers: Headers) -> bool:
    """Whether somebody followed a link of another site: its page is left, and learns nothing of what comes."""
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )
