"""The login: the password, sessions of browsers, the login page, and the middleware that protects every path.

Programs send the password with each request.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import parse_qs, urlencode, urlsplit

from itsdangerous import BadData, TimestampSigner
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from transcription_dagster.web.program_api.operations import Refusal, bounded_body, has_token
from transcription_dagster.web.refusals import TO_LOGIN, accepts_pages, card_response, refusal_response, refuse_request

SESSION_SECONDS = 7 * 24 * 3600

#: Wrong passwords allowed within the window, per address and in total.
TRIES_PER_ADDRESS, TRIES, WINDOW_SECONDS = 10, 100, 600.0


class Verdict(Enum):
    """The result of checking a password."""

    RIGHT = "right"
    WRONG = "wrong"
    #: Not checked, because of too many wrong ones.
    TOO_MANY = "too many"


@dataclass
class Password:
    """The password, with a rate limit on wrong attempts."""

    value: str
    clock: Callable[[], float] = time.monotonic
    #: Time and address of each wrong attempt, oldest first.
    _wrong: deque[tuple[float, str]] = field(default_factory=deque)
    #: Networks that have sent the right password, among them this machine's: wrong attempts from many others must not
    #: lock them out.
    _known: set[str] = field(default_factory=set[str])

    def check(self, attempt: str, address: str) -> Verdict:
        """Check a password sent from `address`, in constant time, unless there were too many wrong ones."""
        network, now = _network(address), self.clock()
        while self._wrong and self._wrong[0][0] <= now - WINDOW_SECONDS:
            self._wrong.popleft()
        own = sum(network == other for _, other in self._wrong)
        if own >= TRIES_PER_ADDRESS or (len(self._wrong) >= TRIES and network not in self._known):
            return Verdict.TOO_MANY
        if hmac.compare_digest(attempt.encode(errors="replace"), self.value.encode()):
            self._known.add(network)
            return Verdict.RIGHT
        self._wrong.append((now, network))
        return Verdict.WRONG


class Sessions:
    """Sessions of logged-in browsers, each a signed token in a cookie.

    The signing key is new at each start. A restart, which changing the password needs anyway, ends all sessions.
    """

    def __init__(self) -> None:
        self._signer = TimestampSigner(secrets.token_bytes(32), salt="transcription session")
        #: Logged-out sessions whose tokens have not expired, with the time of the logout.
        self._ended: dict[str, float] = {}

    def begin(self) -> str:
        """Return the token of a new session."""
        return self._signer.sign(secrets.token_urlsafe(16)).decode()

    def is_valid(self, token: str) -> bool:
        """Return True if the token is authentic, not expired and not logged out."""
        name = self._name(token)
        return name is not None and name not in self._ended

    def end(self, token: str) -> None:
        """End a session; ignores an invalid token."""
        name = self._name(token)
        now = time.monotonic()
        self._ended = {ended: at for ended, at in self._ended.items() if now - at < SESSION_SECONDS}
        if name is not None:
            self._ended[name] = now

    def _name(self, token: str) -> str | None:
        try:
            return self._signer.unsign(token, max_age=SESSION_SECONDS).decode()
        except BadData:
            return None


def _network(address: str) -> str:
    """Return the network of one user: for IPv6 the /64 of the address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a Unix socket has none
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address


LOGIN, LOGOUT = "/login", "/logout"

_LARGEST_FORM = 8_192
_COMPLAINTS = {
    Verdict.WRONG: "Wrong password.",
    Verdict.TOO_MANY: f"Too many wrong passwords. Try again in {WINDOW_SECONDS / 60:.0f} minutes.",
}
_STATUSES = {Verdict.WRONG: 401, Verdict.TOO_MANY: 429}
_RETRY = {"Retry-After": f"{WINDOW_SECONDS:.0f}"}
_NOT_LOGGED_IN = (
    "The password is missing or wrong, or the session has ended. Log in; a program sends TRANSCRIPTION_UI_PASSWORD "
    "with each request."
)


@dataclass(frozen=True, slots=True)
class Login:
    """The login page, and the sessions that it begins."""

    password: Password
    sessions: Sessions
    #: Name of the cookie. It includes the port, because browsers share cookies between all ports of a host.
    cookie: str

    def is_logged_in(self, request: HTTPConnection) -> bool:
        """Return whether the request belongs to a logged-in session."""
        return self.sessions.is_valid(request.cookies.get(self.cookie, ""))

    def routes(self) -> list[BaseRoute]:
        """Return the routes of the page and of its form."""
        return [
            Route(LOGIN, self._page, methods=["GET"]),
            Route(LOGIN, self._log_in, methods=["POST"]),
            Route(LOGOUT, self._log_out, methods=["POST"]),
        ]

    async def _page(self, request: Request) -> Response:
        return self._render(request, own_path(request.query_params.get("next", "")))

    async def _log_in(self, request: Request) -> Response:
        try:
            body = await bounded_body(request, _LARGEST_FORM)
        except Refusal as error:
            return refusal_response(
                request, error.status, "The password or the address to return to is too long.", TO_LOGIN
            )
        form = parse_qs(body.decode(errors="replace"), keep_blank_values=True)
        next_path = own_path(form.get("next", [""])[0])
        verdict = self.password.check(form.get("password", [""])[0], address_of(request))
        if verdict is not Verdict.RIGHT:
            return self._render(request, next_path, verdict)
        response = RedirectResponse(next_path, 303)
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

    def _render(self, request: Request, next_path: str, verdict: Verdict = Verdict.RIGHT) -> Response:
        values = {
            "next": next_path,
            "complaint": _COMPLAINTS.get(verdict),
            "logged_in": self.is_logged_in(request),
        }
        headers = _RETRY if verdict is Verdict.TOO_MANY else {}
        return card_response(request, "login.html", values, status=_STATUSES.get(verdict, 200), headers=headers)


class Wall:
    """Middleware that admits requests with a session or the password, and all requests to the open paths.

    Requests to the API with a token pass as well: the API checks the token.
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
        if has_token(request):
            await self._app(scope, receive, send)
            return
        password = password_of(request)
        if password is None and self._login.is_logged_in(request):
            await self._app(scope, receive, send)
            return
        verdict = Verdict.WRONG if password is None else self._login.password.check(password, address_of(request))
        if verdict is Verdict.RIGHT:
            await self._app(scope, receive, send)
        elif verdict is Verdict.TOO_MANY:
            complaint = _COMPLAINTS[Verdict.TOO_MANY]
            await refuse_request(scope, receive, send, 429, complaint, TO_LOGIN, _RETRY)
        elif password is None and _wants_page(scope, request):
            query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
            target = urlencode({"next": f"{scope['path']}{query}"})
            await RedirectResponse(f"{LOGIN}?{target}", 303)(scope, receive, send)
        else:
            await refuse_request(scope, receive, send, 401, _NOT_LOGGED_IN, TO_LOGIN)


def password_of(request: HTTPConnection) -> str | None:
    """Return the password that a program sends by HTTP basic authentication, with any user name; None without one."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def own_path(url: str) -> str:
    """Return `url` if it is a path on this server, otherwise `/`.

    Browsers read a backslash as a slash, ignore tabs and line breaks, and go to another host after two slashes.
    """
    parts = urlsplit(url)
    is_path = url.startswith("/") and not url.startswith("//") and not parts.scheme and not parts.netloc
    return url if is_path and url.isprintable() and "\\" not in url else "/"


def address_of(request: HTTPConnection) -> str:
    """Return the address that a request came from; empty for a Unix socket."""
    return request.client.host if request.client else ""


def _wants_page(scope: Scope, request: HTTPConnection) -> bool:
    return scope["type"] == "http" and scope["method"] == "GET" and accepts_pages(request)
