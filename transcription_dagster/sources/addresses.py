"""Addresses of sources: the hosts that HTTP sources may reach, checked at the connection, and keeping their secrets.

Rows, events, errors and `recording.json` contain a URL without its query. The whole URL is in the store beside the
recording's results, where every machine that fetches it finds it; `forget` deletes it.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection, Sequence
from functools import partial
from urllib.parse import urlsplit

import httpx

from transcription_dagster.database.connection import Engine
from transcription_dagster.database.recordings import clean_sources
from transcription_dagster.errors import InvalidSetting, SourceNotFound, SourceRefused, SourceUnavailable
from transcription_dagster.store.object_store import ObjectStore, object_key
from transcription_dagster.urls import shown_url, without_secrets

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: All public IPv6 addresses (https://www.iana.org/assignments/ipv6-address-space).
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
#: Protocol assignments (RFC 6890): Python calls some of them public, but clouds serve metadata there.
_ASSIGNMENTS = ipaddress.ip_network("192.0.0.0/24")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def origin(url: str) -> str:
    """Return the scheme, host and port of a URL, as in `https://media.example.org:443`. A bare host means https.

    Raises `InvalidSetting` for anything that is neither a URL nor a host.
    """
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        port = parts.port
    except ValueError as error:
        raise InvalidSetting(f"{shown_url(url)!r} is not a host or URL: {without_secrets(str(error))}") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.username is not None:
        raise InvalidSetting(
            f"{shown_url(url)!r} is not a host such as media.example.org or a URL such as https://host:8443"
        )
    return f"{parts.scheme}://{parts.hostname}:{port or _DEFAULT_PORTS[parts.scheme]}"


def is_among(url: str, origins: Collection[str]) -> bool:
    """Return whether an untrusted URL points to one of these origins."""
    try:
        return origin(url) in origins
    except InvalidSetting:
        return False


def is_public(address: str) -> bool:
    """Return whether an IP address is public; for an IPv4 address embedded in IPv6, the IPv4 address decides."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour
        if parsed in _NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner:
            return is_public(str(inner))
        return parsed.is_global and parsed in _GLOBAL_UNICAST
    return parsed.is_global and not parsed.is_multicast and parsed not in _ASSIGNMENTS


class GuardedTransport(httpx.BaseTransport):
    """Sends requests, redirects included, only to allowed origins, and connects to the address that it checked.

    Resolving a name for the check and again for the connection can give two different answers (DNS rebinding).
    """

    def __init__(self, origins: Collection[str], allow_private: bool) -> None:
        self._origins = frozenset(origins)
        self._allow_private = allow_private
        # The pool identifies a connection by its address alone, and would reuse it for another host at the same
        # address.
        self._inner = httpx.HTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Raise `SourceRefused` if a host or address is not allowed, `SourceUnavailable` if a name does not resolve."""
        if not is_among(str(request.url), self._origins):
            raise SourceRefused(
                f"{shown_url(str(request.url))} is not on an allowed host; "
                "add the host to TRANSCRIPTION_SOURCE_HOSTS to fetch from it"
            )
        host = request.url.host
        request.extensions = {**request.extensions, "sni_hostname": host}
        addresses = self._addresses(host, request.url.port or _DEFAULT_PORTS[request.url.scheme])
        for address in addresses[:-1]:
            try:
                return self._send(request, address)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return self._send(request, addresses[-1])

    def close(self) -> None:
        self._inner.close()

    def _send(self, request: httpx.Request, address: str) -> httpx.Response:
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        return self._inner.handle_request(pinned)

    def _addresses(self, host: str, port: int) -> Sequence[str]:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise SourceUnavailable(f"{host} cannot be resolved: {error}") from error
        addresses = [str(entry[4][0]) for entry in entries]
        if not self._allow_private and not all(is_public(address) for address in addresses):
            raise SourceRefused(f"{host} has a private address; set TRANSCRIPTION_IB_ALLOW_PRIVATE to allow it")
        return addresses


_FILE = "source.secret"


def keep_whole_url(store: ObjectStore, recording: str, source: str) -> str:
    """Store the whole URL if it has a secret part; return the part that may be shown."""
    stripped = shown_url(source)
    if stripped != source:
        store.put_bytes(object_key(recording, _FILE), source.encode())
    return stripped


def move_secrets(engine: Engine, store: ObjectStore) -> None:
    """Move the secrets in source URLs that earlier versions registered into the store."""
    clean_sources(engine, partial(keep_whole_url, store))


def whole_url(store: ObjectStore, recording: str, source: str) -> str:
    """Return the URL to fetch for a shown URL: the stored one, if it belongs to this source."""
    try:
        stored = store.get_bytes(object_key(recording, _FILE)).decode()
    except SourceNotFound:
        return source
    return stored if shown_url(stored) == source else source
