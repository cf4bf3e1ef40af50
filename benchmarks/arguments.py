"""The arguments that benchmarks share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help is the benchmark's docstring as written."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def parse_speech_arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the arguments of a benchmark on human speech, which is measured only where there is some.

    Adds `folder` (recordings and their list), `model`, `only` (names of what to measure) and `kept` (a file of what was
    heard before).
    """
    parser.add_argument("folder", type=Path, nargs="?", default=os.environ.get("TRANSCRIPTION_TEST_SPEECH"))
    parser.add_argument("--model", default="base")
    parser.add_argument("--only", nargs="*", default=())
    parser.add_argument("--kept", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if not arguments.folder:
        parser.exit(message="nothing measured: name a folder of recordings, or set TRANSCRIPTION_TEST_SPEECH\n")
    arguments.folder = Path(arguments.folder)
    return arguments
