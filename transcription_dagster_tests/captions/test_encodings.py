"""A text file's encoding is found and kept."""

from __future__ import annotations

import pytest

from transcription_dagster.captions.encodings import decode
from transcription_dagster.errors import InvalidCaptions


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Grüß Gott", "utf-8"),
        ("Grüß Gott", "utf-8-sig"),
        ("Grüß Gott", "utf-16"),
        ("Grüß Gott", "utf-16-be"),
        ("Grüß Gott", "utf-32"),
        ("El café está cerrado.", "cp1252"),
        ("Il m’a dit « voilà » – été", "cp1252"),
        ("Příliš žluťoučký kůň", "cp1250"),
        ("Привет, как дела? Сегодня хорошая погода", "cp1251"),
        ("こんにちは世界、今日は天気がいい", "cp932"),
        ("", "utf-8"),
    ],
)
def test_an_encoding_is_found_and_written_again(text: str, encoding: str) -> None:
    data = f"1\n00:00:01,000 --> 00:00:02,500\n{text}\n".encode(encoding)
    content = decode(data)
    assert text in content.text
    assert content.encode(content.text) == data
    assert content.guessed is (encoding[:3] == "cp1" or encoding in ("cp932", "utf-16-be") or encoding[:3] == "cp9")


def test_bytes_that_are_no_text_in_the_encoding_are_refused() -> None:
    with pytest.raises(InvalidCaptions, match="line 2: byte 3 is not ascii"):
        decode(b"ab\n\xff", "ascii")


def test_a_letter_that_the_encoding_has_not_is_refused_with_its_line() -> None:
    with pytest.raises(InvalidCaptions, match=r"line 2: 'ő' cannot be written in cp1252"):
        decode(b"caf\xe9").encode("café\nGyőr")
