"""`/recordings`: the list of recordings, and the search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from transcription_dagster.database.archive import (
    Filters,
    ListPlace,
    RecordingStatus,
    languages,
    list_recordings,
    with_state,
)
from transcription_dagster.errors import InvalidRecordingId
from transcription_dagster.model import recording_id
from transcription_dagster.search.query import Hit, search
from transcription_dagster.web.pages import Pages
from transcription_dagster.web.reading_room.archive import Archive

PAGE_SIZE = 50
#: Moments shown per search.
HITS = 30
_LONGEST_QUERY = 500
#: A better query helps more than further pages.
_MOST_PAGES = 10


def show_list(archive: Archive, pages: Pages, request: Request) -> Response:
    """Show the list of recordings, or the moments that match a query."""
    # Postgres rejects text with null characters.
    stripped = {name: value.replace("\0", "").strip() for name, value in request.query_params.items()}
    parameters = {name: value for name, value in stripped.items() if value}
    query = parameters.get("q", "")[:_LONGEST_QUERY]
    filters = filters_of(parameters)
    results = _matches(archive, query, filters, parameters) if query else _newest(archive, filters, parameters)
    values = {
        "query": query,
        "parameters": parameters,
        "statuses": list(RecordingStatus),
        "languages": languages(archive.engine),
        "groups": [],
        "recordings": [],
        "by_words_alone": False,
        "next_page": None,
        **results,
    }
    return pages.render(request, "recordings.html", values)


def _newest(archive: Archive, filters: Filters, parameters: Mapping[str, str]) -> dict[str, Any]:
    recordings = list_recordings(archive.engine, filters, after=_place_of(parameters), limit=PAGE_SIZE + 1)
    last = recordings[PAGE_SIZE - 1].place if len(recordings) > PAGE_SIZE else None
    return {"recordings": recordings[:PAGE_SIZE], "next_page": last and _next_page(parameters, last)}


def _matches(archive: Archive, query: str, filters: Filters, parameters: Mapping[str, str]) -> dict[str, Any]:
    if filters.status is RecordingStatus.WAITING:
        # Waiting recordings have no text that could match.
        return {}
    page = _page_of(parameters)
    embedding = archive.embedder.embed(query)
    hits = search(
        archive.engine,
        query,
        embedding,
        limit=HITS + 1,
        offset=(page - 1) * HITS,
        language=filters.language,
        since=filters.since,
        until=filters.until,
        speaker=filters.speaker,
        among=with_state(filters),
    )
    more = len(hits) > HITS and page < _MOST_PAGES
    return {
        "groups": by_recording(hits[:HITS]),
        "by_words_alone": embedding is None and archive.settings.embedder != "none",
        "next_page": "?" + urlencode({**parameters, "page": page + 1}) if more else None,
    }


def by_recording(hits: Sequence[Hit]) -> list[list[Hit]]:
    """Group hits by recording in order of time; the recording with the best hit comes first."""
    groups: dict[str, list[Hit]] = {}
    for hit in hits:
        groups.setdefault(hit.recording, []).append(hit)
    return [sorted(group, key=lambda hit: hit.start) for group in groups.values()]


def filters_of(parameters: Mapping[str, str]) -> Filters:
    """Return the filters of a request; an invalid date, language or status is ignored."""
    status = parameters.get("status", "")
    return Filters(
        language=parameters.get("language") or None,
        since=_date_of(parameters.get("since")),
        until=_day_after(_date_of(parameters.get("until"))),
        status=RecordingStatus(status) if status in list(RecordingStatus) else None,
        speaker=parameters.get("speaker") or None,
        warned=parameters.get("warned") == "1",
    )


def _date_of(text: str | None) -> datetime | None:
    try:
        return datetime.strptime(text or "", "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def _day_after(last: datetime | None) -> datetime | None:
    """Return the end of a range that includes its last day; None after the last day of the calendar."""
    try:
        return last and last + timedelta(days=1)
    except OverflowError:
        return None


def _page_of(parameters: Mapping[str, str]) -> int:
    page = parameters.get("page", "1")
    return max(1, min(int(page), _MOST_PAGES)) if page.isdecimal() and page.isascii() and len(page) < 4 else 1


def _place_of(parameters: Mapping[str, str]) -> ListPlace | None:
    """Return the position that `_next_page` encoded: the page begins after it."""
    moment, _, uuid = parameters.get("after", "").partition("_")
    try:
        return ListPlace(datetime.fromtimestamp(int(moment) / 1e6, UTC), recording_id(uuid))
    except (ValueError, OverflowError, OSError, InvalidRecordingId):
        return None


def _next_page(parameters: Mapping[str, str], place: ListPlace) -> str:
    microseconds = (place.recorded_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return "?" + urlencode({**parameters, "after": f"{microseconds}_{place.uuid}"})
