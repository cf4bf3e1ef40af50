"""The CSRF token in our pages, as a test's client finds it."""

from __future__ import annotations

import re

import httpx

from transcription_dagster.web.guard import CSRF_HEADER


def csrf_headers(client: httpx.Client, page: str) -> dict[str, str]:
    """Load a page, whose cookie the client keeps, and return the header that its scripts would send."""
    text = client.get(page, headers={"Accept": "text/html"}).text
    [token] = re.findall(r'<meta name="csrf-token" content="([^"]+)">', text)
    return {CSRF_HEADER: token}
