"""Other machines for tests: processes in their own namespaces, as containers have them."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

import pytest

#: Ends the processes with their parent.
_OWN_PIDS = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
_OWN_NETWORK = ("--uts", "--net")


def namespaces() -> tuple[str, ...]:
    """Return the command prefix for a new pid namespace with this machine's host name."""
    return _OWN_PIDS


def another_machine(host: str) -> tuple[str, ...]:
    """Return the command prefix for another machine: its own pids, host name, and an empty network."""
    return (*_OWN_PIDS, *_OWN_NETWORK, "sh", "-c", f'echo {host} > /proc/sys/kernel/hostname; exec "$@"', "sh")


@cache
def _refused() -> str:
    """Return why namespaces are not available; empty if they are."""
    if shutil.which("unshare") is None:
        return "there is no unshare here"
    if os.geteuid() != 0:
        return "only root may make namespaces here"
    completed = subprocess.run([*another_machine("elsewhere"), "true"], capture_output=True, text=True, check=False)
    return completed.stderr.strip() if completed.returncode else ""


needs_namespaces = pytest.mark.skipif(bool(_refused()), reason=f"no namespaces: {_refused()}")
