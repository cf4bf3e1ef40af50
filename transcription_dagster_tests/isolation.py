"""Keep the caller's environment out of a test process, and the test process away from the caller's data."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

#: Variables with the caller's test data that the project does not ship, such as `TRANSCRIPTION_TEST_SPEECH`.
TEST_DATA = "TRANSCRIPTION_TEST_"

#: Settings, credentials, Postgres' own defaults, and what changes Python itself: paths, warnings, buffers, bytecode.
_CLEARED = ("TRANSCRIPTION_", "ANTHROPIC_", "AWS_", "DAGSTER_", "PG", "HF_", "PYTHON")
_CLEARED_WORDS = {"IB_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}


def without_the_callers(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the part of `environment` that a test process may keep; relative paths of test data become absolute."""
    remaining = {}
    for name, value in environment.items():
        if name.startswith(TEST_DATA):
            remaining[name] = os.path.abspath(value) if Path(value).exists() else value
        elif not name.startswith(_CLEARED) and name.upper() not in _CLEARED_WORDS:
            remaining[name] = value
    return remaining


def isolate() -> Path:
    """Clear the environment of this process and its children; return the empty folder that is now its home."""
    home = Path(tempfile.mkdtemp(prefix="transcription-tests-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    environment = without_the_callers(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    # Without bytecode, every process that a test starts compiles the program again.
    sys.dont_write_bytecode = False
    os.environ["HOME"] = str(home)
    # Tests start processes that import from them, in any folder.
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    # Otherwise, a test without credentials asks the machine for its role, and waits for the answer.
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    return home
