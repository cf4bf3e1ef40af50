"""The arguments that benchmarks share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help is the benchmark's docstring as written."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_transcription_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `model`, `only` (names of what to measure) and `kept` (a file of earlier transcripts)."""
    parser.add_argument("--model", default="base")
    parser.add_argument("--only", nargs="*", default=())
    parser.add_argument("--kept", type=Path, metavar="FILE")


def parse_speech_arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the arguments of a benchmark on human speech, which is measured only where there is some.

    Adds `folder` (recordings and their list) and the arguments of `add_transcription_arguments`.
    """
    parser.add_argument("folder", type=Path, nargs="?", default=os.environ.get("TRANSCRIPTION_TEST_SPEECH"))
    add_transcription_arguments(parser)
    arguments = parser.parse_args()
    if not arguments.folder:
        parser.exit(message="nothing measured: name a folder of recordings, or set TRANSCRIPTION_TEST_SPEECH\n")
    arguments.folder = Path(arguments.folder)
    return arguments
