"""Addresses that a server gave and that may hold secrets, kept in a file of this installation.

A sensor's cursor stands in Dagster's database and on its pages, so that it names such an address only by its digest.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from transcription_dagster.atomic_files import replacing

#: Dagster's cursor is one of the last few; older ones are never requested again.
_MOST = 100


class KeptAddresses:
    """The last hundred addresses in a file that only its owner can read."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def keep(self, address: str) -> str:
        """Return the name by which `find` returns the address."""
        name = hashlib.sha256(address.encode()).hexdigest()
        kept = self._read()
        kept.pop(name, None)
        kept[name] = address
        with replacing(self._file) as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(json.dumps(dict(list(kept.items())[-_MOST:])).encode())
        return name

    def find(self, name: str) -> str | None:
        """Return an address by its name; None if it is not kept, as on another machine."""
        return self._read().get(name)

    def _read(self) -> dict[str, str]:
        try:
            return json.loads(self._file.read_bytes())
        except FileNotFoundError:
            return {}
