"""Protection against other sites' pages that send requests through a user's browser.

A browser sends requests to any address that a page names, 127.0.0.1 included. It states the page (`Origin`) and its
relation to the server (`Sec-Fetch-Site`); other programs state neither. See https://www.w3.org/TR/fetch-metadata/.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from transcription_dagster.web.refusals import TO_LIST, refuse_request

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class OwnNames:
    """The names of this server: the accepted `Host` and `Origin` headers.

    A page of another site can have its own name resolve to our address (DNS rebinding), but its requests still carry
    that name in `Host`. An IP address in `Host` cannot be rebound.
    """

    hosts: frozenset[str]
    #: Whether any IP address is accepted: the server is bound to all interfaces.
    any_address: bool
    #: Names of proxies that forward requests with another `Host`, with the port unless it is the scheme's default.
    proxies: frozenset[str]

    @classmethod
    def of_server(cls, bound_to: str, extra: Iterable[str] = ()) -> OwnNames:
        """Return the names of a server bound to `bound_to`; `extra` holds the operator's additions as `name[:port]`."""
        address = _address(bound_to)
        all_interfaces = address is not None and address.is_unspecified
        proxies = [name.lower() for name in extra]
        hosts = {"localhost", bound_to.lower(), *([socket.gethostname().lower()] if all_interfaces else [])}
        return cls(
            hosts=frozenset(hosts | {host for name in proxies if (host := _split(f"//{name}").hostname)}),
            any_address=all_interfaces,
            proxies=frozenset(proxies),
        )

    def is_own_host(self, host: str) -> bool:
        """Return whether a request with this `Host` header is meant for this server."""
        try:
            name = _split(f"//{host}").hostname
        except ValueError:
            return False
        return name is not None and (name in self.hosts or self._is_own_address(name))

    def is_own_origin(self, origin: str, *, host: str, scheme: str) -> bool:
        """Return whether the `Origin` of a request is this server; `host` is its `Host`, `scheme` that of its URL."""
        try:
            page, server = _split(origin), _split(f"//{host}")
            default = _DEFAULT_PORTS[page.scheme]
            page_port, server_port = page.port or default, server.port or default
        except (ValueError, KeyError):
            return False
        # A proxy may handle TLS for us, but a request over TLS never belongs to a page without TLS.
        if page.hostname is None or (scheme in ("https", "wss") and page.scheme != "https"):
            return False
        name = f"[{page.hostname}]" if ":" in page.hostname else page.hostname
        name_and_port = name if page_port == default else f"{name}:{page_port}"
        return (page.hostname, page_port) == (server.hostname, server_port) or name_and_port in self.proxies

    def _is_own_address(self, name: str) -> bool:
        address = _address(name)
        return address is not None and (self.any_address or address.is_loopback)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _split(url: str) -> SplitResult:
    """Split a URL of only a host and a port; raises `ValueError` for any other."""
    parts = urlsplit(url)
    if parts.path or parts.query or parts.fragment or "@" in parts.netloc or not url.isprintable() or " " in url:
        raise ValueError("more than a host and a port")
    _ = parts.port
    return parts


#: The header in which scripts send the token, and the form field.
CSRF_HEADER, CSRF_FIELD = "x-csrf-token", "csrf_token"

_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}\Z")


@dataclass(frozen=True, slots=True)
class Csrf:
    """Tokens against cross-site request forgery, which our own pages' forms and scripts send back.

    The token is in a cookie and in the page (double submit). The guard already refuses requests of other sites; the
    token also protects users of browsers that do not say where a request comes from.
    """

    #: Name of the cookie. It includes the port, because browsers share cookies between all ports of a host.

    cookie: str

    def token(self, request: HTTPConnection) -> str:
        """Return the browser's token, or a new one."""
        cookie = request.cookies.get(self.cookie, "")
        return cookie if _TOKEN.match(cookie) else secrets.token_urlsafe(24)

    def set_cookie(self, request: Request, response: Response, token: str) -> None:
        """Set the cookie to the token that the page holds."""
        secure = request.url.scheme == "https"
        response.set_cookie(self.cookie, token, httponly=True, samesite="strict", secure=secure)

    def is_valid(self, request: HTTPConnection, token: str) -> bool:
        """Return whether the token that a form or a script sent is the one in the request's cookie."""
        cookie = request.cookies.get(self.cookie, "")
        return bool(_TOKEN.match(cookie)) and hmac.compare_digest(cookie.encode(), token.encode(errors="replace"))


_UNKNOWN_HOST = (
    "This server does not know the host name of the request. Open it by its own name, or add the name to "
    "TRANSCRIPTION_UI_HOSTS."
)
_FOREIGN_ORIGIN = (
    "Requests from pages of other sites are refused. If this server is behind a proxy, add the proxy's name to "
    "TRANSCRIPTION_UI_HOSTS."
)
_OTHER_SITE = "Requests from other sites are refused. Open the page on this server."

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
            # Under an unknown name, every link leads to another refusal.
            way_back = None if complaint == _UNKNOWN_HOST else TO_LIST
            await refuse_request(scope, receive, send, 403, complaint, way_back)

    def _complaint(self, request: HTTPConnection) -> str | None:
        """Return why the request is refused; None if it is allowed."""
        hosts, origins = request.headers.getlist("host"), request.headers.getlist("origin")
        if len(hosts) != 1 or not self._names.is_own_host(hosts[0]):
            return _UNKNOWN_HOST
        scheme = request.scope["scheme"]
        if not all(self._names.is_own_origin(origin, host=hosts[0], scheme=scheme) for origin in origins):
            return _FOREIGN_ORIGIN
        site = request.headers.get("sec-fetch-site", "none")
        if site not in ("same-origin", "none") and not _is_link(request.scope, request.headers):
            return _OTHER_SITE
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


def _is_link(scope: Scope, headers: Headers) -> bool:
    """Return True if the user followed a link from another site, whose page cannot read the response."""
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )
