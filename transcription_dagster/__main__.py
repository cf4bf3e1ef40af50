"""Make `python -m transcription_dagster` equal to the console script `transcription`."""

from transcription_dagster.cli.main import main

main()
