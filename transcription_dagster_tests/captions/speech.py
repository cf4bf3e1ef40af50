"""Words and times of made-up speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st

from transcription_dagster.model import Word


def say(text: str, *, start: float = 0.0, pace: float = 15.0, speaker: str | None = None) -> list[Word]:
    """Return the words of `text` at `pace` characters a second; `[1.5]` is a pause in seconds."""
    words: list[Word] = []
    moment = start
    for part in text.split():
        if part.startswith("[") and part.endswith("]"):
            moment += float(part[1:-1])
            continue
        end = round(moment + len(part) / pace, 3)
        words.append(Word(part, moment, end, speaker=speaker))
        moment = end
    return words


def at(texts: Sequence[str], starts: Sequence[float], ends: Sequence[float]) -> list[Word]:
    """Return words with these times."""
    return [Word(text, start, end) for text, start, end in zip(texts, starts, ends, strict=True)]


def texts(words: Sequence[Word]) -> list[str]:
    """Return the words' texts."""
    return [word.text for word in words]


_ODD_WORDS = (
    "the of and Dr. New York 3.5 million percent, north. haven? yes! said: -five — … 'tis don't U.S. ¿qué 😀 שלום "
    'ferry\'s "quoted" --> <b> & 1,000 x'
)

#: Any text without spaces.
any_text = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1, max_size=50)
#: Short utterances: with punctuation, numbers, names and other scripts.
spoken_text = st.one_of(
    st.text("abcdefgh", min_size=1, max_size=12),
    st.sampled_from(_ODD_WORDS.split()),
)


@st.composite
def spoken_words(draw: st.DrawFn, *, speakers: bool = False, max_size: int = 60) -> list[Word]:
    """Return words with increasing times in whole milliseconds, at any pace and with any pauses."""
    words: list[Word] = []
    moment = draw(st.integers(0, 5000))
    for text in draw(st.lists(spoken_text, max_size=max_size)):
        moment += draw(st.sampled_from([0, 0, 0, 0, 20, 200, 700, 1500, 4000]))
        length = draw(st.sampled_from([0, 1, 60, 150, 300, 500, 900, 9000]))
        words.append(Word(text, moment / 1000, (moment + length) / 1000, draw(st.floats(0, 1))))
        moment += length
    if speakers and words:
        names = draw(st.lists(st.sampled_from(["spk_0", "spk_1", None]), min_size=len(words), max_size=len(words)))
        words = [replace(word, speaker=name) for word, name in zip(words, names, strict=True)]
    return words


any_seconds = st.one_of(st.floats(-10, 100), st.floats())
#: Words with arbitrary times.
wild_words = st.lists(
    st.builds(Word, text=any_text, start=any_seconds, end=any_seconds, glued=st.booleans()), max_size=40
)
