"""In processes of their own: what is exempt from the search for garbage stays so."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import gc
from transcription_dagster.quick_imports import quick_imports
try:
    with quick_imports():
        print(gc.isenabled(), gc.get_freeze_count())
        kept = [[] for _ in range(1000)]
        {inside}
except RuntimeError:
    pass
print(gc.isenabled(), gc.get_freeze_count() > 1000)
"""


def said(inside: str) -> str:
    command = [sys.executable, "-c", _SCRIPT.format(inside=inside)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_there_is_no_search_for_garbage_within_the_block_and_none_of_what_it_made_afterwards() -> None:
    assert said("pass") == "False 0\nTrue True\n"


def test_an_import_that_fails_leaves_the_collection_on() -> None:
    assert said("raise RuntimeError") == "False 0\nTrue True\n"
