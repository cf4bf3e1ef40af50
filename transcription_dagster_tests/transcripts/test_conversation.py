"""The speaker of each word, in the transcript, text and captions."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from transcription_dagster.captions.cue_corrections import correct_cues
from transcription_dagster.captions.cues import make_cues
from transcription_dagster.captions.subtitles import read_vtt, to_srt, to_vtt
from transcription_dagster.model import SpeakerTurn, Transcript, Word
from transcription_dagster.transcripts.amazon_json import read_transcript, write_transcript
from transcription_dagster.transcripts.conversation import in_turns, shown_speaker, with_speakers
from transcription_dagster.transcripts.plain_text import to_text

RECORDING = "00000000-0000-0000-0000-000000000001"


def spoken(text: str, *, speakers: str = "", step: float = 0.5) -> Transcript:
    """Return one word every half second; `speakers` has a letter for each word, `-` for none."""
    texts = text.split()
    labels = [None if letter == "-" else letter for letter in speakers or "-" * len(texts)]
    words = [
        Word(word, number * step, (number + 1) * step, speaker=label)
        for number, (word, label) in enumerate(zip(texts, labels, strict=True))
    ]
    return Transcript(RECORDING, tuple(words), duration=len(texts) * step)


def speakers_of(transcript: Transcript) -> str:
    return "".join((word.speaker or "-")[-1] for word in transcript.words)


def turns(*spans: tuple[float, float, str]) -> list[SpeakerTurn]:
    return [SpeakerTurn(*span) for span in spans]


def test_each_word_belongs_to_the_speaker_with_the_most_time():
    labelled = with_speakers(spoken("a b c d e f"), turns((0, 1.3, "spk_0"), (1.3, 3, "spk_1")))
    assert speakers_of(labelled) == "000111"


def test_a_short_answer_inside_a_long_turn_belongs_to_the_other_speaker():
    labelled = with_speakers(spoken("a b c d e f"), turns((0, 3, "spk_0"), (1.0, 1.5, "spk_1")))
    # Both talk during the third word, neither for longer: it stays with the current speaker.
    assert speakers_of(labelled) == "000000"
    labelled = with_speakers(spoken("a b c d e f"), turns((0, 1.1, "spk_0"), (1.0, 1.5, "spk_1"), (1.4, 3, "spk_0")))
    assert speakers_of(labelled) == "001000"


def test_uncertain_words_have_no_speaker():
    assert speakers_of(with_speakers(spoken("a b"), turns((0, 1, "spk_0"), (0, 1, "spk_1")))) == "--"
    assert speakers_of(with_speakers(spoken("a b c d"), turns((0, 1, "spk_0"), (1.5, 2, "spk_1")))) == "00-1"
    assert speakers_of(with_speakers(spoken("a b"), [])) == "--"
    third = turns((0, 0.5, "spk_2"), (0.5, 1, "spk_0"), (0.5, 1, "spk_1"))
    assert speakers_of(with_speakers(spoken("a b"), third)) == "2-"


def test_all_turns_of_a_speaker_during_a_word_count():
    pieces = turns((0, 0.3, "spk_0"), (0.3, 0.7, "spk_1"), (0.7, 1, "spk_0"))
    assert speakers_of(with_speakers(spoken("a", step=1.0), pieces)) == "0"


def test_a_word_in_a_short_pause_has_a_speaker_and_one_in_a_long_silence_has_none():
    assert speakers_of(with_speakers(spoken("a b c d"), turns((0, 0.5, "spk_0"), (1.5, 2, "spk_0")))) == "0000"
    assert speakers_of(with_speakers(spoken("a b c d e"), turns((0, 0.5, "spk_0"), (2.0, 3, "spk_0")))) == "0---0"


def test_names_replace_labels_and_channels_and_known_speakers_stay():
    labelled = with_speakers(spoken("a b"), turns((0, 0.5, "spk_1"), (0.5, 1, "spk_0")), ["Agent", "Caller"])
    assert [word.speaker for word in labelled.words] == ["Caller", "Agent"]
    channels = Transcript(RECORDING, (Word("a", 0, 1, speaker="ch_1"),))
    assert with_speakers(channels, turns((0, 1, "spk_0")), ["Agent", "Caller"]).words[0].speaker == "Caller"
    assert with_speakers(channels, turns((0, 1, "spk_0"))).words[0].speaker == "ch_1"
    assert speakers_of(with_speakers(spoken("a b", speakers="A-"), turns((0, 1, "spk_0")))) == "A-"


@pytest.mark.parametrize(
    ("label", "readable"),
    [
        ("spk_0", "Speaker 1"),
        ("ch_1", "Channel 2"),
        ("ch_0/spk_1", "Channel 1, Speaker 2"),
        ("Agent", "Agent"),
        ("Ch. Dupont", "Ch. Dupont"),
    ],
)
def test_labels_are_shown_in_readable_form(label, readable):
    assert shown_speaker(label) == readable


def test_uncertain_words_belong_to_the_surrounding_turn():
    assert [word.speaker for word in in_turns(spoken("a b c d e", speakers="-A-B-").words)] == list("AAABB")
    assert in_turns(spoken("a b").words) == spoken("a b").words


def test_a_conversation_reads_back_with_speakers_at_once_and_has_amazons_labels():
    words = (
        Word("Good", 0.0, 1.0, speaker="Agent"),
        Word("morning.", 1.0, 2.0, speaker="Agent"),
        Word("Hello.", 0.5, 1.5, speaker="Caller"),
    )
    document = write_transcript(Transcript(RECORDING, words, duration=2.0))
    assert read_transcript(document).words == words
    labels = json.loads(document)["results"]["speaker_labels"]
    assert labels["speakers"] == 2
    assert [
        (segment["speaker_label"], segment["start_time"], segment["end_time"]) for segment in labels["segments"]
    ] == [
        ("Agent", "0.0", "2.0"),
        ("Caller", "0.5", "1.5"),
    ]
    assert json.loads(document)["results"]["items"][0]["speaker_label"] == "Agent"


def test_text_has_a_paragraph_for_each_turn_with_the_name_where_it_changes():
    text = to_text(spoken("Hello there. Who speaks? Me. Fine.", speakers="AAB-BA"))
    assert text == "A: Hello there.\n\nB: Who speaks? Me.\n\nA: Fine.\n"
    labels = Transcript(RECORDING, (Word("Yes.", 0, 1, speaker="spk_0"), Word("No.", 1, 2, speaker="spk_1")))
    assert to_text(labels) == "Speaker 1: Yes.\n\nSpeaker 2: No.\n"


def test_text_of_one_speaker_has_no_names():
    assert to_text(spoken("Hello there.", speakers="AA")) == "Hello there.\n"
    assert to_text(spoken("Hello there.")) == "Hello there.\n"


CALL = "Good morning this is the ferry office how can I help you today? I left a bag on the boat last night I think."
WHO = "A" * 13 + "B" * 11


def test_captions_break_where_the_speaker_changes_and_name_the_voice():
    cues = make_cues(spoken(CALL, speakers=WHO).words)
    assert all(len(cue.speakers) == 1 for cue in cues)
    assert [name for name, following in pairwise(cue.speakers[0] for cue in cues) if name != following] == ["A"]
    assert "<v A>Good morning" in to_vtt(cues)
    assert "<v B>I left" in to_vtt(cues)
    assert "<v" not in to_srt(cues)


def test_two_short_turns_share_a_caption_with_dashes_and_two_voices():
    words = spoken("Ready? Yes.", speakers="AB", step=0.4).words
    assert "<v A>- Ready?\n<v B>- Yes." in to_vtt(make_cues(words))


def test_an_uncertain_word_does_not_break_a_caption():
    words = spoken("We leave at nine today.", speakers="AA-AA", step=0.3).words
    (cue,) = make_cues(words)
    assert (cue.lines, cue.speakers) == (("We leave at nine today.",), ("A",))


def test_a_name_cannot_break_out_of_its_tag():
    words = (Word("Hello.", 0.0, 1.0, speaker='<i> & "x"\n\n00:00.000 --> 00:09.000'),)
    text = to_vtt(make_cues(words))
    assert text.count("-->") == 1
    (cue,) = read_vtt(text)
    assert cue.lines == ("Hello.",)


def test_a_corrected_caption_keeps_the_voice_of_the_remaining_turn():
    cues = make_cues(spoken("Ready? Uh. Yes we go.", speakers="ABAAA", step=0.35).words)
    corrected = correct_cues(cues, "Ready? Yes we go.")
    assert "<v B>" not in to_vtt(corrected)
    assert to_vtt(corrected).count("<v A>") == len(corrected)
