"""A text file's encoding is detected and kept."""

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
        ("Günaydın, nasılsın?", "cp1254"),
        ("שלום, מה שלומך?", "cp1255"),
        ("今天天气很好", "gb18030"),
        ("안녕하세요 여러분", "cp949"),
        ("مرحبا كيف حالك", "cp1256"),
        ("Καλημέρα κόσμε", "cp1253"),
        ("Don’t “stop” – now", "cp1252"),
        ("", "utf-8"),
    ],
)
def test_an_encoding_is_found_and_written_again(text: str, encoding: str) -> None:
    data = f"1\n00:00:01,000 --> 00:00:02,500\n{text}\n".encode(encoding)
    content = decode(data)
    assert text in content.text
    assert content.encode(content.text) == data
    assert content.guessed is (encoding[:2] in ("cp", "gb") or encoding == "utf-16-be")


@pytest.mark.parametrize(("text", "encoding"), [("你好", "gb18030"), ("Öğretmen", "cp1254"), ("Xyzö qürk", "cp1252")])
def test_an_encoding_that_is_not_certain_has_to_be_given(text: str, encoding: str) -> None:
    data = f"1\n00:00:01,000 --> 00:00:02,500\n{text}\n".encode(encoding)
    with pytest.raises(InvalidCaptions, match=rf"give it with --encoding \(likely .*{encoding}"):
        decode(data)
    assert text in decode(data, encoding).text


def test_bytes_that_are_no_text_in_the_encoding_are_refused() -> None:
    with pytest.raises(InvalidCaptions, match="line 2: byte 3 is not ascii"):
        decode(b"ab\n\xff", "ascii")


def test_a_letter_that_the_encoding_has_not_is_refused_with_its_line() -> None:
    with pytest.raises(InvalidCaptions, match=r"line 2: 'ő' cannot be written in cp1252"):
        decode(b"caf\xe9").encode("café\nGyőr")
