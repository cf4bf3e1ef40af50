"""Join the stack of another machine or home that uses the same database."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from transcription_dagster.errors import StackError
from transcription_dagster.settings import Settings
from transcription_dagster.stack.one_stack import find_daemon
from transcription_dagster.stack.stack import running

_ANSWER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class JoinedStack:
    """A stack elsewhere that this machine sends work to."""

    #: Address of its UI.
    url: str
    host: str
    database_url: str

    def alive(self) -> bool:
        """Return True if a daemon runs on its database. Raises `DatabaseUnavailable`."""
        return find_daemon(self.database_url) is not None


def joined_stack(settings: Settings) -> JoinedStack | None:
    """Return the running stack of the database in the settings; None for the embedded one, or if no stack is up.

    Raises `StackError` if this machine cannot reach its UI, and `DatabaseUnavailable`.
    """
    if settings.database_url is None:
        return None
    url = settings.database_url.get_secret_value()
    found = find_daemon(url)
    if found is None:
        return None
    try:
        with httpx.Client(trust_env=False, timeout=_ANSWER_SECONDS) as client:
            client.get(f"{found.url}/health").raise_for_status()
    except httpx.HTTPError:
        raise StackError(
            f"the stack of this database is up on {found.host}, and its UI at {found.url} does not answer here: run "
            "the command there, or start that stack with a --host that this machine reaches"
        ) from None
    return JoinedStack(found.url, found.host, url)


def ui_address(settings: Settings) -> str | None:
    """Return the UI's address of this installation, on this machine or another; None if no stack is up.

    Raises `DatabaseUnavailable` if the database that knows it does not answer.
    """
    own = running(settings)
    if own is not None and own.url:
        return own.url
    if settings.database_url is None:
        return None
    found = find_daemon(settings.database_url.get_secret_value())
    return found.url if found else None
