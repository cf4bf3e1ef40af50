"""The password of the UI: who knows it, who tried too often, and who has shown it before."""

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

#: How many wrong passwords may come within the window, from one address and from all of them.
TRIES_PER_ADDRESS, TRIES, WINDOW_SECONDS = 10, 100, 600.0


class Verdict(Enum):
    """What came of showing a password."""

    RIGHT = "right"
    WRONG = "wrong"
    #: Not even looked at: there were too many wrong ones.
    TOO_MANY = "too many"


@dataclass
class Password:
    """The password, and the wrong ones that were shown instead in the last minutes."""

    value: str
    clock: Callable[[], float] = time.monotonic
    #: Time and address of each wrong one, the oldest first.
    _wrong: deque[tuple[float, str]] = field(default_factory=deque)

    def check(self, shown: str, address: str) -> Verdict:
        """Compare in constant time what came from `address`, unless too many were wrong before."""
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
    """Browsers that have shown the password, each known by a signed token that its cookie holds.

    The key to sign with is made anew at each start: a restart, as a new password needs one, ends every session.
    """

    def __init__(self) -> None:
        self._signer = TimestampSigner(secrets.token_bytes(32), salt="transcription session")
        #: Sessions that were ended before their time, and when: their tokens would still be good.
        self._ended: dict[str, float] = {}

    def begin(self) -> str:
        """Return the token of a new session."""
        return self._signer.sign(secrets.token_urlsafe(16)).decode()

    def holds(self, token: str) -> bool:
        """Whether the token was made here, is not too old, and its session was not ended."""
        name = self._name(token)
        return name is not None and name not in self._ended

    def end(self, token: str) -> None:
        """End a session; a token that is good for nothing is left alone."""
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
    """What one person has of addresses: with IPv6 usually a /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a Unix socket has none
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address
