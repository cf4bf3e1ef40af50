"""Which languages a recording may be in, and detection of which one is spoken where.

Speech is split at its pauses into stretches of some seconds. The language of a stretch is read from the encoding of the
window that is decoded anyway, for one step of the decoder. If it agrees with the language so far, nothing else is done.
Otherwise the stretch is encoded alone, which costs two runs of the encoder (for the stretch, and for the window once
more), and the language changes if the result is certain enough.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor
from torch.nn.functional import pad
from whisper.audio import FRAMES_PER_SECOND, N_FRAMES

from transcription_dagster.errors import InvalidSetting
from transcription_dagster.language.codes import WHISPER_LANGUAGES, whisper_language
from transcription_dagster.model import SpeechOptions
from transcription_dagster.whisper.decoding.requests import Detect, Requests, Window
from transcription_dagster.whisper.spans import Span

#: A stretch ends at a pause of this many seconds if it has at least this many seconds of speech: the more speech, the
#: shorter the pause.
_PAUSES = ((3.0, 0.0), (0.5, 2.0), (0.3, 4.0), (0.0, 8.0))
#: Seconds of the pauses around a stretch that count as part of it.
_AROUND_SECONDS = 0.5
#: A stretch with less speech (s) keeps the language before it: a name or a loan word changes nothing.
_MIN_SECONDS = 1.5
#: If less of a stretch (s) is inside a window, the window says nothing about its language.
_MIN_PART_SECONDS = 1.0
#: The language so far is kept without further checks if its probability is at least this.
_KEPT_PROBABILITY = 0.5
#: Another language replaces it if it has at least this probability when the stretch is encoded alone, and at least
#: these odds against it in both results together.
_NEW_PROBABILITY = 0.8
_MIN_ODDS = 10.0
#: Languages that Whisper cannot distinguish by sound, or that differ only in writing. Neither replaces the other.
_ALIKE = tuple(map(frozenset, (("no", "nn"), ("hr", "bs", "sr"), ("id", "ms"), ("hi", "ur"))))

#: A whole window, padding included, as Whisper encodes it.
_WHOLE = (0, N_FRAMES)
_WINDOW_SECONDS = N_FRAMES / FRAMES_PER_SECOND

#: The probability of each language, by Whisper's codes.
LanguageProbabilities = Mapping[str, float]


def candidate_languages(options: SpeechOptions, *, multilingual: bool) -> tuple[str, ...]:
    """Return the candidate languages: the given one, the ones that may be spoken, or none, which means any.

    Raises `InvalidSetting` if Whisper, or a model that is not `multilingual`, does not know one.
    """
    if options.language is not None:
        return _codes([options.language], multilingual=multilingual)
    if not multilingual:
        return ("en",)
    return _codes(options.languages, multilingual=multilingual)


def _codes(languages: Iterable[str], *, multilingual: bool) -> tuple[str, ...]:
    codes = [code for language in languages if (code := whisper_language(language)) is not None]
    for code in codes:
        if code != "en" and not multilingual:
            raise InvalidSetting(f"the model knows English only, not {WHISPER_LANGUAGES[code].title()}")
    return tuple(dict.fromkeys(codes))


@dataclass(frozen=True, slots=True)
class Stretch:
    """Speech between two pauses, in one language."""

    #: Includes part of the pauses around it. Its language applies from its start to the start of the next stretch.
    span: Span
    #: Seconds of speech in it.
    seconds: float


def stretches(speech: Sequence[Span]) -> tuple[Stretch, ...]:
    """Split speech, given in order and disjoint, into stretches."""
    groups = list(_groups(speech))
    spans = [Span(max(0.0, group[0].start - _AROUND_SECONDS), group[-1].end + _AROUND_SECONDS) for group in groups]
    for number, (one, other) in enumerate(pairwise(spans)):
        middle = (groups[number][-1].end + groups[number + 1][0].start) / 2
        spans[number] = Span(one.start, min(one.end, middle))
        spans[number + 1] = Span(max(other.start, middle), other.end)
    return tuple(Stretch(span, sum(part.seconds for part in group)) for span, group in zip(spans, groups, strict=True))


def _groups(speech: Sequence[Span]) -> Iterator[list[Span]]:
    group: list[Span] = []
    for number, span in enumerate(speech):
        group.append(span)
        seconds = sum(part.seconds for part in group)
        pause = speech[number + 1].start - span.end if number + 1 < len(speech) else math.inf
        if any(pause >= least_pause and seconds >= least for least_pause, least in _PAUSES):
            yield group
            group = []


class SpokenLanguages:
    """The languages of a spectrogram, decided while it is decoded. All passes over it share the decisions.

    `speech` holds the stretches of speech in seconds; `candidates` the languages that may be spoken as Whisper's codes,
    empty for any; `before` the language at the end of the preceding block, None at the start of a recording.
    """

    def __init__(self, speech: Sequence[Span], candidates: Sequence[str] = (), before: str | None = None) -> None:
        self._stretches = stretches(speech)
        self._starts = [_frame(stretch.span.start) for stretch in self._stretches]
        self._candidates = candidates
        self._decided: dict[int, str] = {}
        self.before = before

    @property
    def latest(self) -> str | None:
        """Return the language of the last stretch decided so far; None if none is known yet."""
        return self._language_before(len(self._stretches))

    def _language_before(self, number: int) -> str | None:
        """Return the language of the nearest decided stretch before this one."""
        earlier = [other for other in self._decided if other < number]
        return self._decided[max(earlier)] if earlier else self.before

    @classmethod
    def fixed(cls, language: str) -> SpokenLanguages:
        """Return a single known language, which needs no request to the model."""
        return cls((), (language,), language)

    def of_window(self, window: Window, spectrogram: Tensor) -> Requests[tuple[str, int]]:
        """Return the language at the start of a window of `spectrogram`, and the frame at which it changes.

        That frame is the window's end if the whole window is in one language.
        """
        if len(self._candidates) == 1:
            return self._candidates[0], window.stop
        # The stretch in or after which the window begins, and all that begin inside it. The rest of a pause before a
        # stretch does not become a window of its own.
        first = bisect_right(self._starts, window.start + _frame(_AROUND_SECONDS)) - 1
        numbers = range(max(0, first), bisect_left(self._starts, window.stop))
        yield from self._decide(numbers, window, spectrogram)
        known = [(number, self._decided[number]) for number in numbers if number in self._decided]
        if not known:
            # Speech that only the model finds, if any: it does not set the language of the rest of the recording.
            return self.latest or _likeliest((yield from self._detect(window))), window.stop
        language = known[0][1]
        return language, next((self._starts[number] for number, other in known if other != language), window.stop)

    def _decide(self, numbers: Sequence[int], window: Window, spectrogram: Tensor) -> Requests[None]:
        """Decide the language of the stretches of which enough is inside the window."""
        parts = {
            number: _frames_inside(self._stretches[number], window) for number in numbers if number not in self._decided
        }
        usable = {number: part for number, part in parts.items() if part is not None}
        if not usable:
            return
        answers: list[LanguageProbabilities] = yield Detect(window, (_WHOLE, *usable.values()))
        whole, *in_parts = map(self._of_candidates, answers)
        first = self.latest or (yield from self._initial_language(whole, usable, spectrogram))
        for number, in_part in zip(usable, in_parts, strict=True):
            stretch, before = self._stretches[number], self._language_before(number) or first
            # The detection in a window without other speech is that of the stretch alone.
            alone = whole if len(numbers) == 1 and _is_whole_inside(stretch, window) else None
            self._decided[number] = yield from self._language_of(stretch, in_part, before, alone, spectrogram)

    def _initial_language(
        self, whole: LanguageProbabilities, numbers: Iterable[int], spectrogram: Tensor
    ) -> Requests[str]:
        """Return the language of the first window with speech, or of the one with most speech if it has few words."""
        best = _likeliest(whole)
        if whole[best] >= _KEPT_PROBABILITY or any(
            self._stretches[number].seconds >= _MIN_SECONDS for number in numbers
        ):
            return best
        fullest = max((stretch.span.start for stretch in self._stretches), key=self._speech_from)
        return _likeliest((yield from self._detect(_window_of(Span(fullest, fullest + _WINDOW_SECONDS), spectrogram))))

    def _speech_from(self, start: float) -> float:
        """Return the seconds of speech in the 30 s after a time."""
        within = Span(start, start + _WINDOW_SECONDS)
        return sum(within.overlap_seconds(stretch.span) for stretch in self._stretches)

    def _language_of(
        self,
        stretch: Stretch,
        in_part: LanguageProbabilities,
        before: str,
        alone: LanguageProbabilities | None,
        spectrogram: Tensor,
    ) -> Requests[str]:
        """Return the language of a stretch that follows one in the language `before`.

        `in_part` is the detection in its part of a window; `alone` that of the stretch alone, None if not made yet.
        """
        if stretch.seconds < _MIN_SECONDS or in_part.get(before, 0.0) >= _KEPT_PROBABILITY:
            return before
        if alone is None:
            alone = yield from self._detect(_window_of(stretch.span, spectrogram))
        best = _likeliest(alone)
        if alone[best] < _NEW_PROBABILITY or any({best, before} <= alike for alike in _ALIKE):
            return before
        odds = _odds(best, before, alone) * _odds(best, before, in_part)
        return best if odds >= _MIN_ODDS else before

    def _detect(self, window: Window) -> Requests[LanguageProbabilities]:
        [probabilities] = yield Detect(window, (_WHOLE,))
        return self._of_candidates(probabilities)

    def _of_candidates(self, probabilities: LanguageProbabilities) -> LanguageProbabilities:
        """Restrict the probabilities to the candidates; they sum to 1 again."""
        if not self._candidates:
            return probabilities
        # A model without Cantonese gives no probability for it.
        chosen = {language: probabilities.get(language, 0.0) for language in self._candidates}
        total = sum(chosen.values()) or 1.0
        return {language: share / total for language, share in chosen.items()}


def _likeliest(probabilities: LanguageProbabilities) -> str:
    return max(probabilities, key=probabilities.__getitem__)


def _odds(one: str, other: str, probabilities: LanguageProbabilities) -> float:
    return probabilities[one] / max(probabilities[other], 1e-6)


def _frame(seconds: float) -> int:
    return round(seconds * FRAMES_PER_SECOND)


def _frames_inside(stretch: Stretch, window: Window) -> tuple[int, int] | None:
    """Return the frames of a window that a stretch covers; None if too little of it is inside to judge by."""
    start, stop = _frame(stretch.span.start), _frame(stretch.span.end)
    first, last = max(start, window.start), min(stop, window.stop)
    if last - first < min(stop - start, _frame(_MIN_PART_SECONDS)):
        return None
    return first - window.start, last - window.start


def _is_whole_inside(stretch: Stretch, window: Window) -> bool:
    return window.start <= _frame(stretch.span.start) and _frame(stretch.span.end) <= window.start + N_FRAMES


def _window_of(span: Span, spectrogram: Tensor) -> Window:
    """Return a span of a spectrogram, up to 30 s of it, as a window that silence fills."""
    first = _frame(span.start)
    mel = spectrogram[:, first : min(_frame(span.end), first + N_FRAMES)]
    frames = mel.shape[-1]
    return Window(first, frames, pad(mel, (0, N_FRAMES - frames), value=float(spectrogram.min())))
