from __future__ import annotations

from transcription_dagster_tests.web.reading_room.conftest import library

#: The reading room's tests and the API's use the same archive.
__all__ = ["library"]
