"""Writing and reading SRT and WebVTT, compared with strict third-party parsers and files of other programs."""

from __future__ import annotations

import html
import re
from io import StringIO
from itertools import pairwise

import pysubs2
import pytest
import srt
import webvtt
from hypothesis import assume, given
from hypothesis import strategies as st

from transcription_dagster.captions.cues import make_cues
from transcription_dagster.captions.subtitles import convert, parse_srt, parse_vtt, read_srt, read_vtt, to_srt, to_vtt
from transcription_dagster.errors import InvalidCaptions
from transcription_dagster.model import Cue, Word
from transcription_dagster_tests.captions.speech import any_text, say, spoken_words

CUES = [Cue(300, 2946, ("Good evening,", "and welcome.")), Cue(3_030, 3_600_000, ("The ferry leaves.",))]

#: The W3C's grammar of a WebVTT file as this program writes it: no identifiers, settings, tags or notes.
VTT_TIME = r"\d{2,}:[0-5]\d:[0-5]\d\.\d{3}"
VTT_LINE = r"(?:[^\n<&>]|&amp;|&lt;|&gt;)+"
VTT_FILE = re.compile(rf"WEBVTT\n(?:\n{VTT_TIME} --> {VTT_TIME}\n(?:{VTT_LINE}\n)+)*")

lines = st.lists(any_text, min_size=1, max_size=3).map(tuple)


@st.composite
def cue_lists(draw: st.DrawFn) -> list[Cue]:
    """Return cues in order, with any text."""
    edges = sorted(draw(st.sets(st.integers(0, 400_000_000), max_size=20)))
    return [Cue(start, end, draw(lines)) for start, end in list(pairwise(edges))[::2]]


def read_by_webvtt(text: str) -> list[str]:
    """Return what webvtt-py reads, with escapes resolved, which it leaves to its user."""
    return [html.unescape(caption.text) for caption in webvtt.from_string(text)]


def spoken(cues: list[Cue]) -> list[tuple[int, int, str]]:
    """Return times and texts, for comparison with another parser."""
    return [(cue.start_ms, cue.end_ms, "\n".join(cue.lines)) for cue in cues]


def test_srt_counts_from_one() -> None:
    assert to_srt(CUES) == (
        "1\n00:00:00,300 --> 00:00:02,946\nGood evening,\nand welcome.\n\n"
        "2\n00:00:03,030 --> 01:00:00,000\nThe ferry leaves.\n"
    )


def test_vtt_has_its_header() -> None:
    assert to_vtt(CUES) == (
        "WEBVTT\n\n00:00:00.300 --> 00:00:02.946\nGood evening,\nand welcome.\n\n"
        "00:00:03.030 --> 01:00:00.000\nThe ferry leaves.\n"
    )


def test_no_cues_give_empty_files() -> None:
    assert to_srt([]) == ""
    assert to_vtt([]) == "WEBVTT\n"
    assert read_srt("") == read_vtt("WEBVTT") == []


# --- other people's strict parsers


@given(cue_lists())
def test_a_strict_srt_parser_finds_the_same_cues(cues: list[Cue]) -> None:
    parsed = list(srt.parse(to_srt(cues), ignore_errors=False))
    assert [subtitle.index for subtitle in parsed] == list(range(1, len(cues) + 1))
    read_back = [
        (round(s.start.total_seconds() * 1000), round(s.end.total_seconds() * 1000), s.content) for s in parsed
    ]
    assert read_back == [(start, end, text.replace("-->", "->")) for start, end, text in spoken(cues)]


@given(spoken_words())
def test_four_readers_agree_on_captions_of_any_speech(words: list[Word]) -> None:
    cues = make_cues(words)
    texts = ["\n".join(cue.lines).replace("-->", "->") for cue in cues]
    assert read_by_webvtt(to_vtt(cues)) == ["\n".join(cue.lines) for cue in cues]
    assert [subtitle.content for subtitle in srt.parse(to_srt(cues))] == texts
    if cues:
        assert [caption.raw_text for caption in webvtt.from_buffer(StringIO(to_srt(cues)), format="srt")] == texts
        by_pysubs = pysubs2.SSAFile.from_string(to_srt(cues), format_="srt", keep_unknown_html_tags=True)
        assert [(event.start, event.end) for event in by_pysubs] == [(cue.start_ms, cue.end_ms) for cue in cues]


@given(cue_lists())
def test_vtt_keeps_to_the_grammar(cues: list[Cue]) -> None:
    assert VTT_FILE.fullmatch(to_vtt(cues))


# --- there and back


@given(cue_lists())
def test_vtt_round_trips(cues: list[Cue]) -> None:
    assert read_vtt(to_vtt(cues)) == cues


@given(cue_lists())
def test_srt_round_trips_except_for_arrows(cues: list[Cue]) -> None:
    plain = [Cue(cue.start_ms, cue.end_ms, tuple(line.replace("-->", "->") for line in cue.lines)) for cue in cues]
    # SRT has no escapes: these may begin markup, a hard line break or an HTML entity.
    assume(not any(set("<{\\&") & set(line) for cue in cues for line in cue.lines))
    assert read_srt(to_srt(cues)) == plain


@pytest.mark.parametrize(
    "text", ["a --> b", "00:00:01,000 --> 00:00:02,000", "1", "NOTE this", "WEBVTT", "a < b & c > d"]
)
def test_speech_that_looks_like_markup_is_escaped(text: str) -> None:
    cues = [Cue(0, 1000, (text,)), Cue(2000, 3000, (text, text))]
    assert read_vtt(to_vtt(cues)) == cues
    assert read_by_webvtt(to_vtt(cues)) == [text, f"{text}\n{text}"]
    assert spoken(read_srt(to_srt(cues))) == [(s, e, t.replace("-->", "->")) for s, e, t in spoken(cues)]


def test_lines_without_text_and_line_breaks_inside_lines_cannot_end_a_cue() -> None:
    cues = [Cue(0, 1000, ("one\n\ntwo", " ", "three\r")), Cue(2000, 3000, ("",))]
    assert to_srt(cues) == "1\n00:00:00,000 --> 00:00:01,000\none\ntwo\nthree\n"


def test_hours_beyond_ninety_nine_keep_all_their_digits() -> None:
    cues = [Cue(360_000_000, 360_001_000, ("late",))]
    assert "100:00:00,000" in to_srt(cues)
    assert read_srt(to_srt(cues)) == read_vtt(to_vtt(cues)) == cues


# --- what other programs write


def test_srt_of_other_programs_is_read() -> None:
    text = (
        "\ufeff1\r\n00:00:01,5 --> 00:00:02.250 X1:40 X2:600\r\nfirst\r\n\r\nafter an empty line\r\n\r\n"
        "00:00:03,000 --> 00:00:04,000\r\nno counter\r\n\r\n\r\n9\r\n0:00:05,000 --> 0:00:06,000\r\n42\r\n"
    )
    assert read_srt(text) == [
        Cue(1500, 2250, ("first", "after an empty line")),
        Cue(3000, 4000, ("no counter",)),
        Cue(5000, 6000, ("42",)),
    ]


def test_vtt_of_other_programs_is_read() -> None:
    text = (
        "WEBVTT - with a title\nKind: captions\n\nSTYLE\n::cue { color: red }\n\nNOTE a note\nof two lines\n\n"
        "intro\n00:01.000 --> 00:02.000 align:start line:0\n<v Mary>Fish &amp; <i>chips</i></v>\n\nNOTE between\n\n"
        "00:03.000 --> 00:04.000\n<00:03.500><c.loud>five &lt; six&nbsp;</c>\n"
    )
    assert read_vtt(text) == [Cue(1000, 2000, ("Fish & chips",)), Cue(3000, 4000, ("five < six",))]


def test_a_cue_without_text_is_left_out() -> None:
    assert read_srt("1\n00:00:01,000 --> 00:00:02,000\n\n2\n00:00:03,000 --> 00:00:04,000\nyes\n") == [
        Cue(3000, 4000, ("yes",))
    ]


@pytest.mark.parametrize("text", ["just a text", "1\nfirst\n00:00:01,000 --> 00:00:02,000\nsecond", '{"a": 1}'])
def test_text_without_timing_is_refused(text: str) -> None:
    with pytest.raises(InvalidCaptions, match=r"line \d"):
        read_srt(text)


def test_a_cue_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(InvalidCaptions, match="line 2: cue 1 ends before it starts"):
        read_srt("1\n00:00:02,000 --> 00:00:01,000\nno")


@pytest.mark.parametrize("text", ["", "1\n00:00:01,000 --> 00:00:02,000\nyes", "WEBVTTX"])
def test_vtt_without_its_header_is_refused(text: str) -> None:
    with pytest.raises(InvalidCaptions, match="WEBVTT"):
        read_vtt(text)


def test_both_formats_preserve_the_lines_of_captions() -> None:
    cues = make_cues(say("- five < 3 & counting --> done. [2] Ünïcödé 😀 שלום."))
    assert [cue.lines for cue in read_vtt(to_vtt(cues))] == [cue.lines for cue in cues]


@pytest.mark.parametrize("hours", ["9" * 7, "9" * 5_000])
def test_hours_of_too_many_digits_are_refused(hours: str) -> None:
    with pytest.raises(InvalidCaptions, match=r"line 2: .*there are too many hours"):
        read_srt(f"1\n00:00:01,000 --> {hours}:00:02,000\nhello\n")


def test_another_format_keeps_the_tags_that_both_have() -> None:
    srt = (
        "1\n00:00:01,000 --> 00:00:02,000\n{\\an8}<i>a < b</i>\n<font color=red><B>c</B></font>\n\n"
        "2\n00:00:03,000 --> 00:00:04,000\n>> Hi --\n"
    )
    vtt = (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n<i>a &lt; b</i>\n<b>c</b>\n\n"
        "00:00:03.000 --> 00:00:04.000\n&gt;&gt; Hi --\n"
    )
    assert convert(parse_srt(srt), "vtt") == vtt
    back = srt.replace("{\\an8}", "").replace("<font color=red>", "").replace("</font>", "").replace("B>", "b>")
    assert convert(parse_vtt(vtt.replace("<i>", "<v Ann><i.loud>")), "srt") == back
