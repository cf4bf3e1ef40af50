"""`/recordings`: the archive as a list and a search in one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from transcription_dagster.database.archive import Filters, ListPlace, Status, list_recordings
from transcription_dagster.errors import InvalidRecordingId
from transcription_dagster.model import recording_id
from transcription_dagster.search.query import search
from transcription_dagster.web.pages import Pages
from transcription_dagster.web.reading_room.archive import Archive

PAGE_SIZE = 50
#: Moments that a search shows at once.
HITS = 30
_LONGEST_QUERY = 500


def show_list(archive: Archive, pages: Pages, request: Request) -> Response:
    """The list of recordings, or the moments that answer a query."""
    parameters = request.query_params
    query = parameters.get("q", "").strip()[:_LONGEST_QUERY]
    filters = filters_of(parameters)
    values = {"query": query, "parameters": dict(parameters), "statuses": list(Status), "hits": [], "recordings": []}
    if query:
        found = search(
            archive.engine,
            query,
            limit=HITS,
            language=filters.language,
            since=filters.since,
            until=filters.until,
        )
        return pages.render(request, "recordings.html", values | {"hits": found, "next_page": None})
    listed = list_recordings(archive.engine, filters, after=_place_of(parameters), limit=PAGE_SIZE + 1)
    more = listed[PAGE_SIZE - 1].place if len(listed) > PAGE_SIZE else None
    values |= {"recordings": listed[:PAGE_SIZE], "next_page": more and _next_page(parameters, more)}
    return pages.render(request, "recordings.html", values)


def filters_of(parameters: Mapping[str, str]) -> Filters:
    """The filters that a request names; what is no date, language or status counts as not named."""
    until = _date_of(parameters.get("until"))
    status = parameters.get("status", "")
    return Filters(
        language=parameters.get("language") or None,
        since=_date_of(parameters.get("since")),
        # The day that is named belongs to the time that is wanted.
        until=until and until + timedelta(days=1),
        status=Status(status) if status in list(Status) else None,
    )


def _date_of(text: str | None) -> datetime | None:
    try:
        return datetime.strptime(text or "", "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def _place_of(parameters: Mapping[str, str]) -> ListPlace | None:
    """The place after which the page begins, as `_next_page` wrote it."""
    moment, _, uuid = parameters.get("after", "").partition("_")
    try:
        return ListPlace(datetime.fromtimestamp(int(moment) / 1e6, UTC), recording_id(uuid))
    except (ValueError, OverflowError, OSError, InvalidRecordingId):
        return None


def _next_page(parameters: Mapping[str, str], place: ListPlace) -> str:
    microseconds = (place.recorded_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return "?" + urlencode({**parameters, "after": f"{microseconds}_{place.uuid}"})
