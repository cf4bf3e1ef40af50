"""Words as plain text, in paragraphs that end at pauses, changes of speaker and changes of topic."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from transcription_dagster.language.boundaries import ends_sentence
from transcription_dagster.model import Transcript, Word
from transcription_dagster.transcripts.conversation import in_turns, shown_speaker

#: Seconds of silence that end a paragraph after a finished sentence, and after an unfinished one.
PARAGRAPH_PAUSE = 1.5
INTERRUPTION_PAUSE = 4.0
#: Characters after which a paragraph ends with its sentence.
LONG_PARAGRAPH = 800

#: A speaker's name at the beginning of a paragraph.
_TITLE = re.compile(r"([^\s:][^\r\n:]{0,80}):[ \t]+")
#: A name at the beginning of a line, strict enough to be certain: up to four capitalised words or numbers, as in
#: "Ann Lee:", "DR. LEE:", "Speaker 2:" and "[spk_1]:".
_LINE_TITLE = re.compile(
    r"\[?((?:[^\W\d_a-z][\w.'’-]*|\d+|spk_\d+)(?: [^\W\d_a-z][\w.'’-]*| \d+){0,3})\]?:(?:[ \t]+|\Z)"
)
_LINE_END = r"(?:\r\n|\r(?!\n)|\n)"
_LINES = re.compile(f"({_LINE_END})")
_PARAGRAPHS = re.compile(rf"({_LINE_END}(?:[ \t]*{_LINE_END})+)")


def paragraph_starts(words: Sequence[Word], topics: Collection[int] = ()) -> tuple[int, ...]:
    """Return the index of each paragraph's first word.

    A paragraph starts at a sentence that is one of `topics`, follows a pause or follows a long paragraph, and at any
    word after a change of speaker or a very long pause.
    """
    words = in_turns(words)
    starts: list[int] = []
    characters = 0
    for index, word in enumerate(words):
        if index == 0 or _begins(words[index - 1], word, characters, topic=index in topics):
            starts.append(index)
            characters = 0
        characters += len(word.text) + 1
    return tuple(starts)


def _begins(before: Word, word: Word, characters: int, *, topic: bool) -> bool:
    pause = word.start - before.end
    if before.speaker != word.speaker or pause >= INTERRUPTION_PAUSE:
        return True
    return ends_sentence(before, word) and (topic or pause >= PARAGRAPH_PAUSE or characters > LONG_PARAGRAPH)


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

    Of two speakers or more, each turn begins with its speaker and a colon. So does a later paragraph of a turn that
    would itself look as if it began with a speaker.
    """
    words = in_turns(source.words if isinstance(source, Transcript) else source)
    starts = paragraph_starts(words)
    if len({word.speaker for word in words}) < 2:
        return join_paragraphs(words, starts)
    titled = list(words)
    previous = None
    for start, stop in zip(starts, [*starts[1:], len(words)], strict=True):
        speaker = words[start].speaker
        if speaker and (speaker != previous or _TITLE.match(join_words(words[start:stop]))):
            title = " ".join(shown_speaker(speaker).replace(":", " ").split())
            titled[start] = replace(words[start], text=f"{title}: {words[start].text}")
        previous = speaker
    return join_paragraphs(titled, starts)


def without_speakers(text: str) -> str:
    """Return a text without the names of its speakers. It is in the form of `to_text`, or has a line for each turn.

    A text has names if its first paragraph begins with one and another paragraph with a different one; or its first
    line, and half of all lines.
    """
    without_titles = _untitled(text, _PARAGRAPHS, _TITLE, least=0.0)
    return _untitled(text, _LINES, _LINE_TITLE, least=0.5) if without_titles == text else without_titles


def _untitled(text: str, separator: re.Pattern[str], name: re.Pattern[str], *, least: float) -> str:
    """Return the text without the names that its parts begin with, if the first one and `least` of all do."""
    parts = separator.split(text)
    titles = [name.match(part) for part in parts]
    beginnings = [title for part, title in zip(parts[::2], titles[::2], strict=True) if part.strip()]
    named = [title for title in beginnings if title]
    if (
        not beginnings
        or beginnings[0] is None
        or len({title[1] for title in named}) < 2
        or len(named) < least * len(beginnings)
    ):
        return text
    return "".join(part[title.end() :] if title else part for part, title in zip(parts, titles, strict=True))


def clock(seconds: float) -> str:
    """Format a position in a recording, or a duration, as `h:mm:ss`, rounded down."""
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{second:02}"
