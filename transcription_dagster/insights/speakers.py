"""Each speaker's share of the talk, and questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from transcription_dagster.insights.text_pieces import sentences
from transcription_dagster.model import Word
from transcription_dagster.transcripts.conversation import in_turns, shown_speaker
from transcription_dagster.transcripts.plain_text import join_words

_QUESTION_MARKS = ("?", "？", "؟", "⁇", ";")
_CLOSING = "\"'”’»)]」』"


@dataclass(frozen=True, slots=True)
class SpeakerShare:
    """What one speaker contributes to a recording."""

    speaker: str
    #: Seconds of the speaker's words, and their share of the time of all words, 0 to 1.
    seconds: float
    share: float
    words: int
    turns: int
    #: Sentences that end with a question mark.
    questions: int


def speaker_shares(words: Sequence[Word], language: str) -> tuple[SpeakerShare, ...]:
    """Return the share of each speaker, most time first; empty if the speakers are unknown.

    `language` decides whether `;` is a question mark, as in Greek.
    """
    marks = _QUESTION_MARKS if language.startswith("el") else _QUESTION_MARKS[:-1]
    turns = [(speaker, list(said)) for speaker, said in groupby(in_turns(words), key=lambda word: word.speaker)]
    total = sum(word.end - word.start for word in words)
    shares = []
    for speaker in dict.fromkeys(speaker for speaker, _ in turns if speaker):
        own = [said for each, said in turns if each == speaker]
        seconds = sum(word.end - word.start for said in own for word in said)
        shares.append(
            SpeakerShare(
                speaker=shown_speaker(speaker),
                seconds=round(seconds, 3),
                share=round(seconds / total, 4) if total else 0.0,
                words=sum(len(said) for said in own),
                turns=len(own),
                questions=sum(_questions(join_words(said), marks) for said in own),
            )
        )
    return tuple(sorted(shares, key=lambda share: -share.seconds))


def _questions(text: str, marks: tuple[str, ...]) -> int:
    return sum(sentence.rstrip(_CLOSING).endswith(marks) for sentence in sentences(text))
