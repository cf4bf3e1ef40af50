"""Words as plain text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from transcription_dagster.model import Transcript, Word
from transcription_dagster.transcripts.conversation import in_turns, shown_speaker
from transcription_dagster.transcripts.paragraphs import paragraph_starts

#: A speaker's name at the beginning of a paragraph.
_TITLE = re.compile(r"([^\s:][^\n:]{0,80}): ")


def join_words(words: Sequence[Word]) -> str:
    """Join the words into one line, with a space before each word that is not glued."""
    if not words:
        return ""
    return words[0].text + "".join(word.text if word.glued else f" {word.text}" for word in words[1:])


def join_paragraphs(words: Sequence[Word], starts: Sequence[int]) -> str:
    """Join the words into paragraphs, one line each, separated by empty lines, with a final newline.

    `starts` holds the index of each paragraph's first word. Without words the text is empty.
    """
    stops = [*starts[1:], len(words)]
    text = "\n\n".join(join_words(words[first:stop]) for first, stop in zip(starts, stops, strict=False))
    return f"{text}\n" if text else ""


def to_text(source: Transcript | Sequence[Word]) -> str:
    """Return the words as paragraphs, by their pauses, sentences and speakers.

    Of two speakers or more each turn begins with its speaker and a colon.
    """
    words = in_turns(source.words if isinstance(source, Transcript) else source)
    starts = paragraph_starts(words)
    if len({word.speaker for word in words}) < 2:
        return join_paragraphs(words, starts)
    titled = list(words)
    before = None
    for start in starts:
        speaker = words[start].speaker
        if speaker and speaker != before:
            title = " ".join(shown_speaker(speaker).replace(":", " ").split())
            titled[start] = replace(words[start], text=f"{title}: {words[start].text}")
        before = speaker
    return join_paragraphs(titled, starts)


def without_speakers(text: str) -> str:
    """Return a text by `to_text`, perhaps corrected since, without the names of its speakers.

    A text has names if its first paragraph begins with one and another paragraph with a different one.
    """
    paragraphs = text.split("\n\n")
    titles = [_TITLE.match(paragraph) for paragraph in paragraphs]
    if titles[0] is None or len({title[1] for title in titles if title}) < 2:
        return text
    return "\n\n".join(
        paragraph[title.end() :] if title else paragraph for paragraph, title in zip(paragraphs, titles, strict=True)
    )


def clock(seconds: float) -> str:
    """Format a position in a recording, or a duration, as `h:mm:ss`, rounded down."""
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{second:02}"
