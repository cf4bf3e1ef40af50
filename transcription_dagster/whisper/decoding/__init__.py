"""From windows to timed words: the decoding loop, which asks a model for what it needs and knows none."""
