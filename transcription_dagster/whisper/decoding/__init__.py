"""From windows to timed words: the decoding loop, which sends requests to a model and is independent of it."""
