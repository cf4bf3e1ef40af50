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
        ("Il va à Paris.", "cp1252"),
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
        ("今天天氣很好，我們一起去公園散步吧。你覺得這個問題應該怎麼解決？", "cp950"),
        ("今日は天気がいいから、公園へ行きましょう。", "iso2022_jp"),
        ("Сегодня хорошая погода, пойдём гулять в парк. Что ты думаешь об этом?", "koi8_u"),
        ("Сегодня хорошая погода, пойдём гулять в парк. Что ты думаешь об этом?", "cp866"),
        ("Dziś jest ładna pogoda, chodźmy na spacer do parku. Co myślisz o tym pytaniu?", "iso8859_2"),
        ("Šodien ir labs laiks, ejam pastaigāties uz parku. Ko tu domā par šo jautājumu?", "cp1257"),
        ("¿Qué piensas de esta pregunta? Mañana iré al médico. ¡Adiós!", "mac_roman"),
        ("Heute ist schönes Wetter, gehen wir über die Straße in den Park, es ist früh genug dafür.", "cp850"),
    ],
)
def test_an_encoding_is_detected_and_written_again(text: str, encoding: str) -> None:
    data = f"1\n00:00:01,000 --> 00:00:02,500\n{text}\n".encode(encoding)
    content = decode(data)
    assert text in content.text
    assert content.encode(content.text) == data
    assert content.guessed is (not encoding.startswith("utf") or encoding == "utf-16-be")


@pytest.mark.parametrize(("text", "encoding"), [("你好", "gb18030"), ("Öğretmen", "cp1254"), ("Xyzö qürk", "cp1252")])
def test_an_uncertain_encoding_must_be_specified(text: str, encoding: str) -> None:
    data = f"1\n00:00:01,000 --> 00:00:02,500\n{text}\n".encode(encoding)
    with pytest.raises(InvalidCaptions, match=rf"give it with --encoding \(likely .*{encoding}"):
        decode(data)
    assert text in decode(data, encoding).text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("วันนี้อากาศดี เราไปเดินเล่นกันเถอะ", "cp874"),
        ("今日は天気がいいから、公園へ散歩に行きましょう。この問題はどうですか？", "euc_jp"),
        ("Сегодня хорошая погода, пойдём гулять в парк.", "iso8859_5"),
    ],
)
def test_an_unknown_encoding_is_not_detected_as_another(text: str, encoding: str) -> None:
    with pytest.raises(InvalidCaptions, match="give it with --encoding"):
        decode(text.encode(encoding))


def test_bytes_invalid_in_the_encoding_are_refused() -> None:
    with pytest.raises(InvalidCaptions, match="line 2: byte 3 is not ascii"):
        decode(b"ab\n\xff", "ascii")


def test_a_letter_missing_in_the_encoding_is_refused_with_its_line() -> None:
    with pytest.raises(InvalidCaptions, match=r"line 2: 'ő' cannot be written in cp1252"):
        decode(b"caf\xe9").encode("café\nGyőr")


def test_a_file_padded_with_nulls_is_not_utf_16() -> None:
    content = decode("Grüß Gott\n".encode() + bytes(500))
    assert (content.encoding, content.guessed) == ("utf-8", False)
    assert content.text.rstrip("\0") == "Grüß Gott\n"
