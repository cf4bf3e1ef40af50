"""From any media file to the FLAC that the rest of the program reads.

`decode` normalises a source: it opens the file (`formats`, `container`), chooses among its tracks (`track_choice`),
keeps it on its own clock (`timeline`), mixes it to 16 kHz (`mixing`) and decides which channels to transcribe
separately (`channels`). `flac` reads, measures and silences the result.
"""
