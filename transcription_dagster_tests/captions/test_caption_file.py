"""Caption files are read completely, or refused with the line that cannot be read."""

from __future__ import annotations

import pytest

from transcription_dagster.captions.subtitles import caption_kind, parse_srt, parse_vtt, refuse_other_formats
from transcription_dagster.errors import InvalidCaptions

GOOD = "1\n00:00:01,000 --> 00:00:02,500\nThe gate is shut.\n\n{}\n\n3\n00:00:05,000 --> 00:00:06,500\nGood night.\n"
VTT = (
    "WEBVTT a title\nKind: captions\n\nX-Note: kept\n\nSTYLE\n::cue { color: red }\n\nREGION\nid:top\n\n"
    "NOTE by hand\n\nintro\n00:01.000 --> 00:02.000 line:0 region:top\n<v Ann>Hello,\nyou.\n\nNOTE\nmore\n\n"
    "00:03.000 --> 00:04.000\nBye.\n\n\n"
)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_the_lines_join_to_the_file(newline: str) -> None:
    for parse, text in ((parse_srt, GOOD.format("2\n00:00:03,000 --> 00:00:04,000\nx")), (parse_vtt, VTT)):
        source = "\ufeff" + text.replace("\n", newline)
        captions = parse(source)
        assert "".join(captions.lines) == source
        assert len(captions.cues) == (3 if parse is parse_srt else 2)


def test_a_cue_is_a_range_of_lines() -> None:
    first, second = parse_vtt(VTT).cues
    assert (first.head, first.first, first.stop) == (13, 15, 17)
    assert (second.head, second.first, second.stop, second.start_ms) == (21, 22, 23, 3000)


@pytest.mark.parametrize(
    ("block", "line", "fault"),
    [
        ("2\n00:00:03,000 -> 00:00:04,500\nCome back.", 6, "the arrow"),
        ("2\n00:00:03,000 – 00:00:04,500\nCome back.", 6, "the arrow"),
        ("2\n00:00:03,000 00:00:04,500\nCome back.", 6, "the arrow"),
        ("2\n00:00:03, 000 --> 00:00:04, 500\nCome back.", 6, "spaces inside"),
        ("2\n00 : 00 : 03,000 --> 00:00:04,500\nCome back.", 6, "spaces inside"),
        ("2\n00:00:-1,500 --> 00:00:04,500\nCome back.", 6, "negative"),
        ("2\n-00:00:01,500 --> 00:00:04,500\nCome back.", 6, "negative"),
        ("2\n00:00:03,000 --> \nCome back.", 6, "wrong form"),
        ("2\n00:00:03:12 --> 00:00:04:10\nCome back.", 6, "wrong form"),
        ("2\nsoon --> later\nCome back.", 6, "wrong form"),
        ("2\nthree seconds\nCome back.", 6, "the arrow"),
        (f"2\n{'9' * 5000}:00:03,000 --> 00:00:04,500\nCome back.", 6, "too many hours"),
        ("00:00:03,000 -> 00:00:04,500\nCome back.", 5, "the arrow"),
        ("2\n00:00:03,000 --> 00:00:04,500 Come back.", 6, "follows the times"),
        ("2\n00:00:03,0000 --> 00:00:04,5000\nCome back.", 6, "wrong form"),
        # A pattern with backtracking rejects this only after hours.
        pytest.param(
            f"2\n00:00:03,000 --> 00:00:04,500 a:{'bbbb:' * 40}\nCome back.", 6, "follows the times", id="settings"
        ),
    ],
)
def test_a_timing_that_cannot_be_read_is_refused_with_its_line(block: str, line: int, fault: str) -> None:
    with pytest.raises(InvalidCaptions, match=rf"line {line}: .*{fault}") as caught:
        parse_srt(GOOD.format(block))
    assert len(str(caught.value)) < 250
    vtt = "WEBVTT\n\n" + GOOD.format(block)
    with pytest.raises(InvalidCaptions, match=rf"line {line + 2 - (fault == 'the arrow' and 'seconds' in block)}: "):
        parse_vtt(vtt)


@pytest.mark.parametrize(
    "block",
    [
        "2\n00:00:03,000 --> 00:00:04,500\n10:30 - 12:00",
        "2\n00:00:03,000 --> 00:00:04,500\nIt took\n00:00:12,500",
        "2\n00:00:03,000 --> 00:00:04,500\na -> b",
        "2\n00:00:03 --> 00:00:04\nno fraction",
        "2\n0:00:03.5 --> 0:00:04.5  X1:100\nplaces",
        "2\n00:00:03,000 --> 00:00:04,500\nfirst\n\nafter an empty line",
        "00:00:03,000 --> 00:00:04,500\nno counter",
        "7\n00:00:03,000 --> 00:00:04,500\n2",
        "2\n00:00:03,000000 --> 00:00:04.500000000\nmicro- and nanoseconds",
        "2\n00:00:03,000 --> 00:00:04,500 X1:100 X2:600 Y1:400 Y2:450\ncoordinates",
        "2\n00:00:03,000 --> 00:00:04,500 align: start position:50% line:-1\nsettings",
        "\ufeff2\n00:00:03,000 --> 00:00:04,500\na mark in the middle",
        "2\n\n00:00:03,000 --> 00:00:04,500\n\nempty lines",
    ],
)
def test_readable_captions_are_not_refused(block: str) -> None:
    assert [cue.start_ms // 1000 for cue in parse_srt(GOOD.format(block)).cues] == [1, 3, 5]


def test_a_counter_without_an_empty_line_before_it_is_not_text() -> None:
    captions = parse_srt("1\n00:00:01,000 --> 00:00:02,000\none\n2\n00:00:03,000 --> 00:00:04,000\ntwo\n")
    assert [captions.lines[cue.first : cue.stop] for cue in captions.cues] == [("one\n",), ("two\n",)]


def test_text_outside_of_cues_is_refused() -> None:
    with pytest.raises(InvalidCaptions, match="line 6: 'lost text' has no timing"):
        parse_vtt("WEBVTT\n\n00:01.000 --> 00:02.000\nyes\n\nlost text\n\n00:03.000 --> 00:04.000\nno\n")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("\ufeff[Script Info]\nTitle: x\n", "SubStation Alpha"),
        ("<?xml version='1.0'?>\n<tt/>", "TTML"),
        ("<tt xmlns='http://www.w3.org/ns/ttml'>", "TTML"),
        ("<SAMI>\n<BODY>", "SAMI"),
        ("{25}{50}Hello.\n", "MicroDVD"),
        ("0:00:01.000,0:00:02.500\nHello.\n", "SBV"),
        ("Scenarist_SCC V1.0\n", "Scenarist"),
    ],
)
def test_captions_of_another_format_are_refused_by_its_name(text: str, name: str) -> None:
    with pytest.raises(InvalidCaptions, match=name):
        refuse_other_formats(text)


def test_srt_webvtt_and_plain_text_are_not_refused_as_other_formats() -> None:
    for text in ("WEBVTT\n", GOOD.format("x"), "[Music] Hello. <i>x</i> {1} 0:00:01.000,0:00:02.500", ""):
        refuse_other_formats(text)  # raises nothing


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("WEBVTT\n", "vtt"),
        ("\ufeff\n1\n00:00:01,000 --> 00:00:02,000\nx", "srt"),
        ("1\n00:00:01,000 -> 00:00:02,000\nx", "srt"),
        ("00:01.0 --> 00:02.0\nx", "srt"),
        ("WEBVTTX", None),
        ("At 10:30 we left.\nIt was late.", None),
        ("", None),
    ],
)
def test_the_first_lines_give_the_format(text: str, kind: str | None) -> None:
    assert caption_kind(text) == kind


def test_a_line_that_a_pattern_with_backtracking_rejects_only_after_minutes_is_no_timing() -> None:
    spaces = " " * 3_000
    assert caption_kind(f"1:1{spaces}:1{spaces}.1{spaces}x") is None
