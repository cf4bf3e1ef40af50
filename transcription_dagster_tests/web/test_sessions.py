from __future__ import annotations

from dataclasses import dataclass

import pytest
from itsdangerous import TimestampSigner

from transcription_dagster.web.login import (
    SESSION_SECONDS,
    TRIES,
    TRIES_PER_ADDRESS,
    WINDOW_SECONDS,
    Password,
    Sessions,
    Verdict,
)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def password(clock: Clock) -> Password:
    return Password("grün-42", clock)


def test_only_the_password_is_right(password: Password):
    assert password.check("grün-42", "10.0.0.1") is Verdict.RIGHT
    for wrong in ("", "grün-4", "grün-42 ", "GRÜN-42", "\udcff"):
        assert password.check(wrong, "10.0.0.1") is Verdict.WRONG


def test_after_too_many_wrong_passwords_an_address_is_blocked_until_some_expire(password: Password, clock: Clock):
    for clock.now in range(TRIES_PER_ADDRESS):
        assert password.check("x", "10.0.0.1") is Verdict.WRONG
    assert password.check("grün-42", "10.0.0.1") is Verdict.TOO_MANY
    assert password.check("grün-42", "10.0.0.2") is Verdict.RIGHT
    clock.now = WINDOW_SECONDS
    assert password.check("grün-42", "10.0.0.1") is Verdict.RIGHT


def test_all_addresses_of_one_network_count_as_one(password: Password):
    for number in range(TRIES_PER_ADDRESS):
        password.check("x", f"2001:db8::{number:x}")
    assert password.check("grün-42", "2001:db8::ffff:1") is Verdict.TOO_MANY
    assert password.check("grün-42", "2001:db8:0:1::1") is Verdict.RIGHT


def test_too_many_wrong_passwords_in_total_are_blocked_too(password: Password):
    for number in range(TRIES):
        assert password.check("x", f"10.0.{number // 200}.{number % 200}") is Verdict.WRONG
    assert password.check("grün-42", "10.9.9.9") is Verdict.TOO_MANY


def test_wrong_passwords_from_many_addresses_do_not_lock_out_one_that_knew_it(password: Password):
    assert password.check("grün-42", "127.0.0.1") is Verdict.RIGHT
    for number in range(TRIES):
        password.check("guess", f"192.0.2.{number}")
    assert password.check("grün-42", "198.51.100.1") is Verdict.TOO_MANY
    assert password.check("grün-42", "127.0.0.1") is Verdict.RIGHT
    for _ in range(TRIES_PER_ADDRESS):
        password.check("guess", "127.0.0.1")
    assert password.check("grün-42", "127.0.0.1") is Verdict.TOO_MANY


def test_a_session_is_valid_until_it_ends():
    sessions = Sessions()
    first, second = sessions.begin(), sessions.begin()
    assert first != second
    sessions.end(first)
    assert not sessions.is_valid(first)
    assert sessions.is_valid(second)


def test_a_session_expires(monkeypatch: pytest.MonkeyPatch):
    sessions = Sessions()
    token = sessions.begin()
    now = TimestampSigner("x").get_timestamp()
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _signer: now + SESSION_SECONDS - 5)
    assert sessions.is_valid(token)
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _signer: now + SESSION_SECONDS + 5)
    assert not sessions.is_valid(token)


def test_a_foreign_token_is_invalid():
    sessions = Sessions()
    token = sessions.begin()
    for forged in ("", "x", token[:-1], f"x{token}", Sessions().begin(), TimestampSigner("guess").sign("a").decode()):
        assert not sessions.is_valid(forged)
        sessions.end(forged)
    assert sessions.is_valid(token)
