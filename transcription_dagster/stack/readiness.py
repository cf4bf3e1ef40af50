"""Readiness checks for the parts of a stack."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from transcription_dagster.dagster_api.client import basic_authentication
from transcription_dagster.errors import DatabaseUnavailable, StackError
from transcription_dagster.pool.liveness import this_place
from transcription_dagster.pool.state import read_pool

_QUERY = """
query Readiness {
  instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } }
  workspaceOrError {
    __typename
    ... on Workspace { locationEntries { locationOrLoadError { __typename ... on PythonError { message } } } }
    ... on PythonError { message }
  }
}
"""


def base_url(host: str, port: int) -> str:
    """Return the address at which this machine reaches a web server bound to `host`."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  compared with, not bound to
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def advertised_url(host: str, port: int) -> str:
    """Return the address for other machines: the host name if the server is bound to all addresses."""
    everywhere = host in ("0.0.0.0", "::")  # noqa: S104  compared with, not bound to
    return base_url(socket.gethostname() if everywhere else host, port)


def socket_answers(path: Path) -> bool:
    """Return True if a server listens on the Unix socket `path`."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def dagster_ready(url: str, password: SecretStr | None = None) -> bool:
    """Return True if the web server at `url` answers, the definitions are loaded, and every daemon is healthy.

    Raises `StackError` if the definitions cannot be loaded.
    """
    try:
        # Both programs are on this machine: ignore proxies from the environment.
        with httpx.Client(trust_env=False, timeout=30, auth=basic_authentication(password)) as client:
            if not client.get(f"{url}/health").is_success:
                return False
            answer = client.post(f"{url}/graphql", json={"query": _QUERY})
    except httpx.HTTPError:
        return False
    return answer.is_success and _all_well(answer.json())


def _all_well(answer: dict[str, Any]) -> bool:
    if answer.get("errors"):
        raise StackError(f"Dagster's web server cannot answer: {answer['errors'][0]['message']}")
    workspace, daemons = answer["data"]["workspaceOrError"], answer["data"]["instance"]["daemonHealth"]
    locations = [entry["locationOrLoadError"] for entry in workspace.get("locationEntries", [])]
    for part in [workspace, *filter(None, locations)]:
        if part["__typename"] == "PythonError":
            raise StackError(f"the definitions cannot be loaded: {part['message'].strip()}")
    healthy = all(daemon["healthy"] for daemon in daemons["allDaemonStatuses"] if daemon["required"])
    return bool(locations) and all(locations) and healthy


def worker_states(database_url: str, *, stale_seconds: float) -> dict[int, str]:
    """Return the states of this machine's live workers by process id; empty while the database is unreachable."""
    try:
        pool = read_pool(database_url, stale_seconds=stale_seconds)
    except DatabaseUnavailable:
        return {}
    here = this_place()
    return {worker.pid: worker.state for worker in pool.workers if worker.place == here and worker.state != "silent"}
