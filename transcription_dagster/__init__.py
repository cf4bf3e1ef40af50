"""A Dagster data platform for transcription: recordings in, captions, corrected text, search and insights out."""

import os

__version__ = "0.1.0"

# Read by OpenMP when PyTorch is loaded, so it has to stand before every import of it. Threads that wait for one another
# shall sleep: spinning, they take the cores from the ones they wait for as soon as anything else runs on the machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
