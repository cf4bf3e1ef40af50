"""Other machines for tests: processes in namespaces of their own, as containers have them."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

import pytest

#: Ends the processes with the one that started them.
_OWN_PIDS = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
_OWN_NETWORK = ("--uts", "--net")


def namespaces() -> tuple[str, ...]:
    """What to put in front of a command for a pid namespace of its own, under the host name of this machine."""
    return _OWN_PIDS


def another_machine(host: str) -> tuple[str, ...]:
    """What to put in front of a command for a machine of its own: pids, host name, and a network with nobody in it."""
    return (*_OWN_PIDS, *_OWN_NETWORK, "sh", "-c", f'echo {host} > /proc/sys/kernel/hostname; exec "$@"', "sh")


@cache
def _refused() -> str:
    """Why there can be no namespaces here; empty if there can."""
    if shutil.which("unshare") is None:
        return "there is no unshare here"
    if os.geteuid() != 0:
        return "only root may make namespaces here"
    tried = subprocess.run([*another_machine("elsewhere"), "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() if tried.returncode else ""


needs_namespaces = pytest.mark.skipif(bool(_refused()), reason=f"no namespaces: {_refused()}")
