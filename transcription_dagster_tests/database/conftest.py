from transcription_dagster_tests.postgres import database_url, engine

__all__ = ["database_url", "engine"]
