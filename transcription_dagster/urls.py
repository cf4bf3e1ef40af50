"""Removing secrets from URLs before they are shown or stored."""

from __future__ import annotations

import logging
import re
from urllib.parse import unquote, urlsplit, urlunsplit

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
#: A URL in a sentence ends at white space, a quote or an angle bracket, and before the sentence's own punctuation.
_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>\\]*[^\s'\"<>\\.,;:!?)]")
#: In these schemes a question mark is part of a name, because keys are not escaped.
_WITHOUT_QUERY = frozenset({"file", "s3", "s3a"})
UNREADABLE = "(unreadable address)"


def shown_url(url: str) -> str:
    """Return scheme, host and path of a URL, without user, password, query and fragment, which may contain a secret.

    A text that is not a URL, such as a path, is returned unchanged. If a URL cannot be parsed, only its scheme remains.
    """
    scheme = _SCHEME.match(url)
    if scheme is None:
        return url
    if scheme[0][:-3].lower() in _WITHOUT_QUERY:
        host, slash, path = url[scheme.end() :].partition("/")
        return f"{scheme[0]}{host.rpartition('@')[2]}{slash}{path}"
    try:
        parts = urlsplit(url)
        has_port = parts.port is not None
    except ValueError:
        # If a password contains a slash, the parser takes part of it as the path.
        return f"{scheme[0]}{UNREADABLE}"
    host = parts.netloc.rpartition("@")[2]
    if not has_port and ":" in host and not host.endswith((":", "]")):
        return f"{scheme[0]}{UNREADABLE}"
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def path_in(url: str) -> str:
    """Return the path in a URL, or the key in a bucket, without escapes. A text that is not a URL is a path."""
    scheme = _SCHEME.match(url)
    if scheme is None:
        return url
    if scheme[0][:-3].lower() not in _WITHOUT_QUERY:
        return unquote(urlsplit(shown_url(url)).path)
    _, _, path = url[scheme.end() :].partition("/")
    return f"/{unquote(path)}" if scheme[0].lower() == "file://" else path


def without_secrets(text: str) -> str:
    """Return a sentence in which every URL is replaced by its `shown_url`."""
    return _IN_TEXT.sub(lambda found: shown_url(found[0]), text)


class CleanFormatter(logging.Formatter):
    """Formats log records and their tracebacks, replacing every URL by its `shown_url`."""

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))
