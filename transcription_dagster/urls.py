"""URLs as people may see them: without what is secret in them."""

from __future__ import annotations

import logging
import re
from urllib.parse import urlsplit, urlunsplit

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
#: A URL in a sentence ends at white space, a quote or an angle bracket, and before the sentence's own punctuation.
_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>\\]*[^\s'\"<>\\.,;:!?)]")
#: In these a question mark is part of a name: keys are written as they are.
_WITHOUT_QUERY = frozenset({"file", "s3", "s3a"})
UNREADABLE = "(unreadable address)"


def shown_url(url: str) -> str:
    """Return scheme, host and path of a URL: without user, password, query and fragment, where a secret may stand.

    What is not a URL, such as a path, is returned as it is; of one that cannot be parsed only the scheme is left.
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
        # Where a password holds a slash, the parser takes a part of it for the path.
        return f"{scheme[0]}{UNREADABLE}"
    host = parts.netloc.rpartition("@")[2]
    if not has_port and ":" in host and not host.endswith((":", "]")):
        return f"{scheme[0]}{UNREADABLE}"
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def without_secrets(text: str) -> str:
    """Return a sentence with every URL in it as `shown_url` shows it."""
    return _IN_TEXT.sub(lambda found: shown_url(found[0]), text)


class CleanFormatter(logging.Formatter):
    """Formats log records, tracebacks included, with every URL as `shown_url` shows it."""

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))
