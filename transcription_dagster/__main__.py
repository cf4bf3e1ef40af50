"""`python -m transcription_dagster` is the console script `transcription`, also where that is not on the path."""

from transcription_dagster.cli.main import main

main()
