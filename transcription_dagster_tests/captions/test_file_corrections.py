"""Parts that a correction does not touch stay the same, to the byte."""

from __future__ import annotations

import pytest
from hypothesis import given

from transcription_dagster.captions.cues import make_cues
from transcription_dagster.captions.file_corrections import correct_file, spoken_text
from transcription_dagster.captions.subtitles import parse_srt, parse_vtt, to_srt, to_vtt
from transcription_dagster.errors import UnrelatedText
from transcription_dagster.model import Word
from transcription_dagster_tests.captions.speech import spoken_words


def srt(*texts: str) -> str:
    """Return captions with these texts, two seconds each."""
    return "\n".join(
        f"{n}\n00:00:{2 * n:02},000 --> 00:00:{2 * n + 1:02},500\n{text}\n" for n, text in enumerate(texts, 1)
    )


def corrected_srt(text: str, *texts: str) -> str:
    return correct_file(parse_srt(srt(*texts)), text)


@pytest.mark.parametrize(
    ("before", "text", "after"),
    [
        (["<i>The gait is shut.</i>"], "The gate is shut.", ["<i>The gate is shut.</i>"]),
        (["{\\an8}Come <b>bak</b> soon.", "Now."], "Come back soon. Now.", ["{\\an8}Come <b>back</b> soon.", "Now."]),
        (
            ['<font color="#ff0">Goo<i>t</i></font> night.'],
            "Good night.",
            ['<font color="#ff0">Good<i></i></font> night.'],
        ),
        (["The old gate is\nshut for now."], "The gate is shut now.", ["The gate is\nshut now."]),
        (["The gate\nis shut."], "It is shut.", ["It\nis shut."]),
        (
            ["- Who is it?\n- It is mee.", "- Come in."],
            "Who is it? It is me. Come in.",
            ["- Who is it?\n- It is me.", "- Come in."],
        ),
        (["-Who is it?\n-It is mee."], "- Who is it? - It is me.", ["-Who is it?\n-It is me."]),
        (["- Who is it? - It is mee."], "- Who is it?\n- It is me.", ["- Who is it? - It is me."]),
        (["– Qui est-ce ?\n– Moy."], "– Qui est-ce ? – Moi.", ["– Qui est-ce ?\n– Moi."]),
        ([">> Good mourning.\n>> Hello."], ">> Good morning. >> Hello.", [">> Good morning.\n>> Hello."]),
        (["♪ Row you boat ♪", "♪ Gently ♪"], "♪ Row your boat ♪ ♪ Gently ♪", ["♪ Row your boat ♪", "♪ Gently ♪"]),
        (["♪ Row you boat ♪", "[♪♪♪]"], "Row your boat", ["♪ Row your boat ♪", "[♪♪♪]"]),
        (
            ["- Who is it?\n- It is mee.", "Come in. No."],
            "- Who is it?\n- It is me.\n- Come in.\n- No.",
            ["- Who is it?\n- It is me.", "- Come in.\n- No."],
        ),
        (
            ["♪ Row you boat ♪", "gently down", "the stream.", "That was all."],
            "♪ Row your boat ♪ ♪ gently down the stream. ♪ That was all.",
            ["♪ Row your boat ♪", "♪ gently down ♪", "♪ the stream. ♪", "That was all."],
        ),
        (["# Row you boat #", "Gently"], "# Row your boat #\n# Gently #", ["# Row your boat #", "# Gently #"]),
        (
            ["♪ Row, row", "Helo.", "♪ gently down", ">> echo,", ">> Yes."],
            "♪ Row, row Hello. ♪ gently down >> echo, >> Yes.",
            ["♪ Row, row", "Hello.", "♪ gently down", ">> echo,", ">> Yes."],
        ),
        (["It was -5 degreese.", "yes"], "It was -5 degrees. yes", ["It was -5 degrees.", "yes"]),
        (
            ["Welcome to <i>cooper netties</i>.", 'Say <b>"helo"</b>, please.'],
            'Welcome to Kubernetes. Say "hello", please.',
            ["Welcome to <i>Kubernetes</i>.", 'Say <b>"hello"</b>, please.'],
        ),
        (["<i>Hello</i> there big world"], "Hello there world", ["<i>Hello</i> there world"]),
        (["fish & chips <3 yess"], "fish & chips <3 yes", ["fish & chips <3 yes"]),
        (
            ["{\\an8}The gait is shut\\Nnow\\htoo."],
            "The gate is shut now too.",
            ["{\\an8}The gate is shut\\Nnow\\htoo."],
        ),
        (
            ["Tom &amp; Jery&nbsp;live &lt;here&#39;s"],
            "Tom & Jerry live <here's",
            ["Tom &amp; Jerry&nbsp;live &lt;here&#39;s"],
        ),
        (
            ["\u202bשלום עולם.\u202c", "\u200fמה נשמע?"],
            "שלום לעולם. \u200fמה נשמע?",
            ["\u202bשלום לעולם.\u202c", "\u200fמה נשמע?"],
        ),
        (["שלום עולם."], "\u200fשלום לעולם.", ["\u200fשלום לעולם."]),
        (["extra\u00adordinary gait"], "extraordinary gate", ["extra\u00adordinary gate"]),
        (
            ["<ruby>漢字<rt>かんじ</rt></ruby>を読む人です。"],
            "漢字を読む者です。",
            ["<ruby>漢字<rt>かんじ</rt></ruby>を読む者です。"],
        ),
        (["สวัสดีครับ ผมชื่อสมชาย"], "สวัสดีค่ะ ฉันชื่อสมหญิง", ["สวัสดีค่ะ ฉันชื่อสมหญิง"]),
        (["我用Kubernets部署应用。"], "我用 Kubernetes 部署应用。", ["我用 Kubernetes 部署应用。"]),
        (["我们 嗯 走吧"], "我们 走吧", ["我们 走吧"]),
        (
            ["[LAUGHTER]", "(door slams) Come back inn.", "MAN: Who is it?", "- [Ann] Mee.\n- [Bob] Oh."],
            "Come back in. Who is it? Me. Oh.",
            ["[LAUGHTER]", "(door slams) Come back in.", "MAN: Who is it?", "- [Ann] Me.\n- [Bob] Oh."],
        ),
        (["[LAUGHTER] (music) Come inn."], "(music) Come in.", ["(music) Come in."]),
        (["MAN: Who is it?", "MAN: Mee."], "MAN: Who is it? Me.", ["MAN: Who is it?", "Me."]),
        (["The gait is shut.\n\n\x1a"], "The gate is shut.", ["The gate is shut.\n\n\x1a"]),
    ],
)
def test_only_the_words_change(before: list[str], text: str, after: list[str]) -> None:
    assert corrected_srt(text, *before) == srt(*after)


@pytest.mark.parametrize("newline", ["\n", "\r\r\n"])
def test_empty_lines_after_each_line_are_kept_with_the_counters(newline: str) -> None:
    before = srt("The gait is shut.", "Come back.", "Now.").replace("\n", 2 * newline)
    assert correct_file(parse_srt(before), "The gate is shut. Come back. Now.") == before.replace("gait", "gate")


def test_a_removed_line_of_dialogue_loses_its_dash() -> None:
    assert corrected_srt("Thank you so much.", "- Oh.\n- Thank you so much.") == srt("- Thank you so much.")
    assert corrected_srt("Thank you so much.", "- Thank you so much.\n- Oh.") == srt("- Thank you so much.")


def test_a_cue_without_words_is_removed_without_renumbering() -> None:
    assert corrected_srt("It rains a lot. Stay here.", "It rains a lot.", "Um.", "Stay here.") == srt(
        "It rains a lot.", "Um.", "Stay here."
    ).replace("2\n00:00:04,000 --> 00:00:05,500\nUm.\n\n", "")


def test_a_line_that_becomes_too_wide_is_broken_again_with_its_markup() -> None:
    before = "<i>the university of oslo in norway\nand mary smith</i>"
    text = "The University of Oslo in Norway, doctor Johnson and Mary Smith"
    assert corrected_srt(text, before) == srt("<i>The University of Oslo in Norway,\ndoctor Johnson and Mary Smith</i>")


VTT = (
    "WEBVTT - by hand\r\nKind: captions\r\n\r\nSTYLE\r\n::cue(.y) { color: red }\r\n\r\nREGION\r\nid:top\r\n\r\n"
    "NOTE kept\r\n\r\nintro\r\n00:01.000 --> 00:02.500 line:0 position:20% region:top\r\n"
    "<v Ann>The gait is <i>shut</i> &amp; locked.</v>\r\n\r\n"
    "00:03.000 --> 00:04.500 align:end\r\n<c.y>Come back</c> tomorrow.\r\n\r\nNOTE\r\nlast\r\n\r\n"
    "3\r\n00:05.000 --> 00:06.500\r\n<00:05.100>Good <00:05.600>night.\r\n"
)


def test_correcting_webvtt_keeps_everything_else() -> None:
    text = "The gate is shut & locked < now. Come back tomorrow. Good night."
    assert correct_file(parse_vtt(VTT), text) == VTT.replace("gait", "gate").replace("locked.", "locked &lt; now.")


@pytest.mark.parametrize(
    "text",
    [
        "WEBVTT\n\n00:01.000 --> 00:02.000\nThe gait is shut.\n00:03.000 --> 00:04.000\nCome back.\n",
        "WEBVTT\n\n1\n00:01.000 --> 00:02.000\nThe gait is shut.\n2\n00:03.000 --> 00:04.000\nCome back.\n",
        "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:9,LOCAL:00:00:00.000\n\n00:01.000 --> 00:02.000\nThe gait is shut.\n\n"
        "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:9,LOCAL:00:00:00.000\n\n00:03.000 --> 00:04.000\nCome back.\n",
        "\ufeff\ufeffWEBVTT\n\n00:01.000 --> 00:02.000\n&rlm;The <00:01.500>gait&lrm; is shut.\n\n"
        "00:03.000 --> 00:04.000\nCome back.\n",
    ],
)
def test_webvtt_of_other_programs_keeps_its_cues(text: str) -> None:
    captions = parse_vtt(text)
    assert [cue.start_ms for cue in captions.cues] == [1000, 3000]
    assert correct_file(captions, "The gate is shut. Come back.") == text.replace("gait", "gate")


ROLLING = (
    "WEBVTT\n\n00:01.000 --> 00:02.500 align:start position:0%\n \nthe<00:01.200><c> gait</c><00:01.700><c> is</c>\n\n"
    "00:02.500 --> 00:02.510 align:start position:0%\nthe gait is\n \n\n"
    "00:02.510 --> 00:04.500 align:start position:0%\nthe gait is\nshut<00:03.200><c> tonite</c>\n\n"
    "00:04.500 --> 00:04.510 align:start position:0%\nshut tonite\n \n"
)


def test_rolling_captions_are_corrected_at_each_repetition_of_a_line() -> None:
    captions = parse_vtt(ROLLING)
    assert spoken_text(captions) == "the gait is\nshut tonite"
    assert correct_file(captions, "the gate is shut tonight") == ROLLING.replace("gait", "gate").replace(
        "tonite", "tonight"
    )


def test_a_repeated_sentence_does_not_count_as_rolling() -> None:
    assert corrected_srt("No. No. I said know.", "No.", "No.", "I said no.") == srt("No.", "No.", "I said know.")


@given(spoken_words(speakers=True))
def test_correcting_with_the_same_text_changes_no_byte(words: list[Word]) -> None:
    cues = make_cues(words)
    files = [parse_vtt(to_vtt(cues))]
    if not any("<" in word.text for word in words):
        files.append(parse_srt(to_srt(cues)))
    for captions in files:
        assert correct_file(captions, spoken_text(captions)) == "".join(captions.lines)


@pytest.mark.parametrize("text", ["Room #\n5", "-  shut", ">>  ♪ la\nla", "It is # or\n... #"])
def test_ambiguous_marks_stay_if_nothing_is_corrected(text: str) -> None:
    before = srt(text, "MAN: \u200fyes")
    assert correct_file(parse_srt(before), spoken_text(parse_srt(before))) == before


def test_a_text_of_other_captions_is_refused() -> None:
    with pytest.raises(UnrelatedText, match="no words to correct"):
        corrected_srt(" \n", "The gate is shut.")
    with pytest.raises(UnrelatedText, match="the captions hold no words"):
        corrected_srt("The gate is shut.", "♪")
    with pytest.raises(UnrelatedText):
        corrected_srt("Quarterly revenues of manufacturers grew.", "The gate is shut.")
