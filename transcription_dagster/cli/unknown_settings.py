"""Environment variables that look like settings but are none, such as misspelt ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from transcription_dagster.settings import Settings, variable_name

_PREFIX = "TRANSCRIPTION_"
#: Beginnings of other variables: those of the test suite, and the mark of a stack's processes.
_OTHERS = ("TRANSCRIPTION_TEST_", "TRANSCRIPTION_STACK")


def unknown_settings(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a message for each variable with the prefix of settings that sets nothing."""
    known = {variable_name(field) for field in Settings.model_fields}
    for name in sorted(environment):
        if not name.startswith(_PREFIX) or name.startswith(_OTHERS) or name in known:
            continue
        # Without the prefix that all have in common, which would make all of them similar.
        fields = [one.removeprefix(_PREFIX) for one in known]
        similar = get_close_matches(name.removeprefix(_PREFIX), fields, n=1, cutoff=0.75)
        advice = f"did you mean {_PREFIX}{similar[0]}?" if similar else "`.env.example` lists all settings"
        yield f"{name} is not a setting and has no effect; {advice}"
