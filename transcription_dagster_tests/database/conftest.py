from transcription_dagster_tests.dagster_instance import database, instance

__all__ = ["database", "instance"]
