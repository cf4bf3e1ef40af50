"""The names of this server, which distinguish its own requests from other sites'."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class OwnNames:
    """The accepted `Host` and `Origin` headers.

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
        everywhere = address is not None and address.is_unspecified
        added = [name.lower() for name in extra]
        hosts = {"localhost", bound_to.lower(), *([socket.gethostname().lower()] if everywhere else [])}
        return cls(
            hosts=frozenset(hosts | {host for name in added if (host := _split(f"//{name}").hostname)}),
            any_address=everywhere,
            proxies=frozenset(added),
        )

    def is_own_host(self, host: str) -> bool:
        """Return whether a request with this `Host` header is meant for this server."""
        try:
            name = _split(f"//{host}").hostname
        except ValueError:
            return False
        return name is not None and (name in self.hosts or self._is_own_address(name))

    def is_own_origin(self, origin: str, *, host: str, scheme: str) -> bool:
        """Return whether an `Origin`, of a request with `host` over `scheme`, is a page of this server."""
        try:
            page, here = _split(origin), _split(f"//{host}")
            default = _DEFAULT_PORTS[page.scheme]
            page_port, own_port = page.port or default, here.port or default
        except (ValueError, KeyError):
            return False
        # A proxy may handle TLS for us, but a request over TLS never belongs to a page without TLS.
        if page.hostname is None or (scheme in ("https", "wss") and page.scheme != "https"):
            return False
        name = f"[{page.hostname}]" if ":" in page.hostname else page.hostname
        written = name if page_port == default else f"{name}:{page_port}"
        return (page.hostname, page_port) == (here.hostname, own_port) or written in self.proxies

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
