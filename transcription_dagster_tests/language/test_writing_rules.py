"""Where lines end and begin in each language and script."""

from __future__ import annotations

import pytest

from transcription_dagster.captions.cues import make_cues
from transcription_dagster.language.boundaries import FORBIDDEN, INSIDE_NAME_OR_NUMBER, break_cost, ends_sentence
from transcription_dagster.language.writing_rules import never_apart
from transcription_dagster.model import Word
from transcription_dagster_tests.captions.speech import say


@pytest.mark.parametrize(
    "text",
    [
        "No. 5",
        "Nos. 12",
        "Mt. Everest",
        "Oct. 3",
        "Fri. Oct.",
        "vol. 3",
        "p. 47",
        "approx. 5",
        "Gen. Smith",
        "Ft. Worth",
        "St. Mary's",
        "3. Oktober",
        "1. Klasse",
        "z. B.",
        "d. h.",
        "Hr. Meier",
        "M. Dupont",
        "Mme. Curie",
        "Sr. López",
        "pág. 12",
        "Eq. 4",
        "L'art. 12",
        "Bahnhofstr. 12",
        "EE. UU.",
        "Sig. Rossi",
        "pag. 47",
        "Profa. Dra.",
        "ul. Długiej",
        "ur. 3",
        "tj. Ok.",
        "кв. 3",
        "ул. Ленина",
        "т. е.",
        "долл. США",
        "κα. Γεωργίου",
        "αρ. 5",
    ],
)
def test_an_abbreviation_stays_with_what_follows(text: str) -> None:
    before, after = say(text)
    assert not ends_sentence(before, after)
    assert break_cost(before, after) >= INSIDE_NAME_OR_NUMBER


@pytest.mark.parametrize(
    "text", ["No. Yes", "ill. She", "sun. Then", "me. It", "sat. Then", "1990. Then", "art. We", "3. Then", "Tor. Dann"]
)
def test_a_word_that_could_be_an_abbreviation_ends_a_sentence(text: str) -> None:
    assert ends_sentence(*say(text))


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (("ショッ", "ピ"), ("の", "シ")),
        (("買っ", "て"), ("を", "買")),
        (("シ", "ョ"), ("京", "都")),
        (("京", "の"), ("の", "京")),
        (("เว", "ลา"), ("ชาย", " วัน")),
    ],
)
def test_units_stay_whole_if_another_break_is_near(worse: tuple[str, str], better: tuple[str, str]) -> None:
    costs = [
        break_cost(Word(before, 0, 1), Word(after.strip(), 1, 2, glued=not after.startswith(" ")))
        for before, after in (worse, better)
    ]
    assert costs[0] > costs[1]


@pytest.mark.parametrize("text", ["Ph.D. In", "D.C. Everyone", "Inc. Chairman", "Ave. West", "p.m. Eastern"])
def test_an_abbreviation_before_a_capital_ends_no_sentence(text: str) -> None:
    assert not ends_sentence(*say(text))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("tout", "?"),
        ("tout", "!"),
        ("vrai", ":"),
        ("maison", "»"),
        ("maison", "»,"),
        ("dit", ";"),
        ("«", "je"),
        ("(", "pause"),
        ("50", "%"),
        ("行", "って"),
        ("コ", "ーヒー"),
        ("で", "、"),
        ("天气", "。"),
        ("「", "はい"),
        ("はい", "」"),
        ("ก", "า"),
        ("เ", "ก"),
        ("ต่าง", "ๆ"),
        ("က", "ိ"),
        ("က္", "က"),
        ("ក្", "ក"),
        ("क", "ि"),
        ("e", "\u0301"),
        ("👩", "\u200d👧"),
        ("\U0001f1e9", "\U0001f1ea"),
        ("شكرا", "؟"),
    ],
)
def test_no_line_begins_or_ends_at_this_place(before: str, after: str) -> None:
    assert never_apart(before, after)
    assert break_cost(Word(before, 0, 1), Word(after, 3, 4, glued=True)) == FORBIDDEN


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("use", ".NET"),
        ("wait", "…and"),
        ("sagte", "»Ja«"),
        ("»Ja«", "sagte"),
        ("Hallo.", "–"),
        ("今天", "天气"),
        ("はい", "「そう"),
        ("ไป", "ตลาด"),
        ("안녕", "하세요"),
        ("שלום", "עולם"),
        ("\U0001f1e9\U0001f1ea", "\U0001f1eb\U0001f1f7"),
        ("song", "♪"),
        ("", ""),
    ],
)
def test_a_line_may_begin_and_end_at_this_place(before: str, after: str) -> None:
    assert not never_apart(before, after)


FRENCH = (
    "Mais qu'est-ce que tu en penses , toi qui sais tout ? Je ne sais pas du tout ! Il m'a dit « je viendrai demain "
    "matin à la maison » ; c'est vrai : 50 % des gens le disent aussi , et moi « jamais de la vie » !"
)


@pytest.mark.parametrize("skipped", range(0, 24, 3))
def test_french_marks_never_begin_or_end_a_line(skipped: int) -> None:
    for cue in make_cues(say(" ".join(FRENCH.split()[skipped:]).lstrip("?!;:,» "))):
        assert not any(line[0] in "?!;:,»%" or line[-1] == "«" for line in cue.lines)


@pytest.mark.parametrize(
    ("text", "never_first", "never_last"),
    [
        (
            "東京タワーへ行って、チョコレートケーキを「ちょっと」買ってみたけどやっぱり高かったよね。",
            "ーッャュョっゃょ、。」ェ",
            "「",
        ),
        ("ภาษาไทยเป็นภาษาที่มีระดับเสียงของคำแน่นอนและกำหนดให้มีสัทอักษรต่างๆไม่เหมือนกัน", "าะำๆิีึืุู่้็ั์", "เแโใไ"),
    ],
)
def test_scripts_without_spaces_are_cut_between_their_characters(text: str, never_first: str, never_last: str) -> None:
    # Whisper's words of these scripts are single characters or pieces of them.
    for size in (1, 2):
        pieces = [text[at : at + size] for at in range(0, len(text) * 1, size)]
        words = [Word(piece, n * 0.12 * size, (n + 1) * 0.12 * size, glued=n > 0) for n, piece in enumerate(pieces)]
        for cue in make_cues(words):
            assert not any(line[0] in never_first or line[-1] in never_last for line in cue.lines)
