"""A Dagster data platform for transcription: recordings in, captions, corrected text, search and insights out."""

__version__ = "0.1.0"
