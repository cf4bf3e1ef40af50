from __future__ import annotations

from transcription_dagster_tests.web.reading_room.conftest import library

#: The archive of the reading room's tests serves the API's as well.
__all__ = ["library"]
