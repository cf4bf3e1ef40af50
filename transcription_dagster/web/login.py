"""The login: middleware that guards every path, and the login page. Programs send the password with each request."""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.templating import Jinja2Templates
from starlette.types import ASGIApp, Receive, Scope, Send

from transcription_dagster.web.access import SESSION_SECONDS, WINDOW_SECONDS, Password, Sessions, Verdict
from transcription_dagster.web.guard import refuse_request
from transcription_dagster.web.program_api.access import shows_token

LOGIN, LOGOUT = "/login", "/logout"

_LARGEST_FORM = 8_192
_COMPLAINTS = {
    Verdict.WRONG: "Wrong password.",
    Verdict.TOO_MANY: f"Too many wrong passwords. Try again in {WINDOW_SECONDS / 60:.0f} minutes.",
}
_STATUSES = {Verdict.WRONG: 401, Verdict.TOO_MANY: 429}
_templates = Jinja2Templates(Path(__file__).parent / "templates")


@dataclass(frozen=True, slots=True)
class Login:
    """What the wall and the page share."""

    password: Password
    sessions: Sessions
    #: Name of the cookie. It includes the port, because browsers share cookies between all ports of a host.
    cookie: str

    def is_known(self, request: HTTPConnection) -> bool:
        """Return whether the request belongs to a logged-in session."""
        return self.sessions.holds(request.cookies.get(self.cookie, ""))

    def routes(self) -> list[BaseRoute]:
        """Return the routes of the page and of its form."""
        limit = Middleware(RequestBodyLimitMiddleware, max_body_size=_LARGEST_FORM)
        return [
            Route(LOGIN, self._page, methods=["GET"]),
            Route(LOGIN, self._log_in, methods=["POST"], middleware=[limit]),
            Route(LOGOUT, self._log_out, methods=["POST"]),
        ]

    async def _page(self, request: Request) -> Response:
        return self._render(request, page_of_ours(request.query_params.get("next", "")))

    async def _log_in(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode(errors="replace"), keep_blank_values=True)
        following = page_of_ours(form.get("next", [""])[0])
        verdict = self.password.check(form.get("password", [""])[0], address_of(request))
        if verdict is not Verdict.RIGHT:
            return self._render(request, following, verdict)
        response = RedirectResponse(following, 303)
        response.set_cookie(
            self.cookie,
            self.sessions.begin(),
            max_age=SESSION_SECONDS,
            httponly=True,
            # Links of other sites may lead here with the cookie; their forms and scripts do not get it.
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return response

    async def _log_out(self, request: Request) -> Response:
        self.sessions.end(request.cookies.get(self.cookie, ""))
        response = RedirectResponse(LOGIN, 303)
        response.delete_cookie(self.cookie)
        return response

    def _render(self, request: Request, following: str, verdict: Verdict = Verdict.RIGHT) -> Response:
        nonce = secrets.token_urlsafe(16)
        known = self.is_known(request)
        values = {"next": following, "complaint": _COMPLAINTS.get(verdict), "known": known, "nonce": nonce}
        policy = f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'"
        headers = {"Content-Security-Policy": f"{policy}; frame-ancestors 'none'"}
        if verdict is Verdict.TOO_MANY:
            headers["Retry-After"] = f"{WINDOW_SECONDS:.0f}"
        return _templates.TemplateResponse(request, "login.html", values, _STATUSES.get(verdict, 200), headers=headers)


class Wall:
    """Middleware that admits requests with a session or the password, and all requests to the `open` paths.

    Requests to the API with a token pass as well: the API checks it.
    """

    def __init__(self, app: ASGIApp, login: Login, open_paths: frozenset[str]) -> None:
        self._app = app
        self._login = login
        self._open = open_paths | {LOGIN}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        if shows_token(request):
            await self._app(scope, receive, send)
            return
        shown = password_of(request)
        if shown is None and self._login.is_known(request):
            await self._app(scope, receive, send)
            return
        verdict = Verdict.WRONG if shown is None else self._login.password.check(shown, address_of(request))
        if verdict is Verdict.RIGHT:
            await self._app(scope, receive, send)
        elif verdict is Verdict.TOO_MANY:
            retry = {"Retry-After": f"{WINDOW_SECONDS:.0f}"}
            await refuse_request(scope, receive, send, 429, "too many wrong passwords; try again later", **retry)
        elif shown is None and _wants_a_page(scope, request):
            query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
            following = urlencode({"next": f"{scope['path']}{query}"})
            await RedirectResponse(f"{LOGIN}?{following}", 303)(scope, receive, send)
        else:
            await refuse_request(
                scope, receive, send, 401, "the password (TRANSCRIPTION_UI_PASSWORD) is missing or wrong"
            )


def password_of(request: HTTPConnection) -> str | None:
    """Return the password that a program sends by HTTP basic authentication, with any user name; None without one."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def page_of_ours(place: str) -> str:
    """Return `place` if it is a path on this server, otherwise the first page.

    Browsers read a backslash as a slash, ignore tabs and line breaks, and go to another host after two slashes.
    """
    parts = urlsplit(place)
    ours = place.startswith("/") and not place.startswith("//") and not parts.scheme and not parts.netloc
    return place if ours and place.isprintable() and "\\" not in place else "/"


def address_of(request: HTTPConnection) -> str:
    """Return the address that a request came from, as far as it is known."""
    return request.client.host if request.client else ""


def _wants_a_page(scope: Scope, request: HTTPConnection) -> bool:
    return scope["type"] == "http" and scope["method"] == "GET" and "text/html" in request.headers.get("accept", "")
