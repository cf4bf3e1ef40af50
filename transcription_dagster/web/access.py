"""Access to the UI: the password, its rate limit, and sessions."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from itsdangerous import BadData, TimestampSigner

SESSION_SECONDS = 7 * 24 * 3600

#: Wrong passwords allowed within the window, per address and in total.
TRIES_PER_ADDRESS, TRIES, WINDOW_SECONDS = 10, 100, 600.0


class Verdict(Enum):
    """The result of checking a password."""

    RIGHT = "right"
    WRONG = "wrong"
    #: Not checked, because of too many wrong ones.
    TOO_MANY = "too many"


@dataclass
class Password:
    """The password, with a rate limit on wrong attempts."""

    value: str
    clock: Callable[[], float] = time.monotonic
    #: Time and address of each wrong attempt, oldest first.
    _wrong: deque[tuple[float, str]] = field(default_factory=deque)

    def check(self, shown: str, address: str) -> Verdict:
        """Check a password from `address` in constant time, unless there were too many wrong ones."""
        network, now = _network(address), self.clock()
        while self._wrong and self._wrong[0][0] <= now - WINDOW_SECONDS:
            self._wrong.popleft()
        if len(self._wrong) >= TRIES or sum(network == each for _, each in self._wrong) >= TRIES_PER_ADDRESS:
            return Verdict.TOO_MANY
        if hmac.compare_digest(shown.encode(errors="replace"), self.value.encode()):
            return Verdict.RIGHT
        self._wrong.append((now, network))
        return Verdict.WRONG


class Sessions:
    """Sessions of logged-in browsers, each a signed token in a cookie.

    The signing key is new at each start. A restart, which changing the password needs anyway, ends all sessions.
    """

    def __init__(self) -> None:
        self._signer = TimestampSigner(secrets.token_bytes(32), salt="transcription session")
        #: Logged-out sessions whose tokens have not expired, with the time of the logout.
        self._ended: dict[str, float] = {}

    def begin(self) -> str:
        """Return the token of a new session."""
        return self._signer.sign(secrets.token_urlsafe(16)).decode()

    def holds(self, token: str) -> bool:
        """Return True if the token is authentic, not expired and not logged out."""
        name = self._name(token)
        return name is not None and name not in self._ended

    def end(self, token: str) -> None:
        """End a session; ignores an invalid token."""
        name = self._name(token)
        now = time.monotonic()
        self._ended = {each: when for each, when in self._ended.items() if now - when < SESSION_SECONDS}
        if name is not None:
            self._ended[name] = now

    def _name(self, token: str) -> str | None:
        try:
            return self._signer.unsign(token, max_age=SESSION_SECONDS).decode()
        except BadData:
            return None


def _network(address: str) -> str:
    """Return the network of one user: for IPv6 usually a /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a Unix socket has none
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address
