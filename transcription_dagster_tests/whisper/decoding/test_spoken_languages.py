"""The candidate languages, and language changes in a recording with scripted answers of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import torch
from whisper.audio import N_FRAMES

from transcription_dagster.errors import InvalidSetting
from transcription_dagster.model import SpeechOptions
from transcription_dagster.whisper.decoding.requests import Align, Decode, Detect, Window, run_requests
from transcription_dagster.whisper.decoding.spoken_languages import SpokenLanguages, candidate_languages, stretches
from transcription_dagster.whisper.spans import Span

#: Seconds of a spectrogram, and the padding after it.
SECONDS = 70
SPECTROGRAM = torch.zeros(80, SECONDS * 100 + N_FRAMES)


class Listener:
    """A fake model that knows the language of every second, and is uncertain about parts of a window."""

    def __init__(self, spoken: Mapping[Span, str], *, vague: Mapping[str, float] | None = None) -> None:
        self.spoken = spoken
        self.vague = vague
        self.requests: list[Detect] = []

    def answer(self, request: Decode | Align | Detect) -> list[dict[str, float]]:
        assert isinstance(request, Detect)
        self.requests.append(request)
        return [self._likely(request.window, part) for part in request.parts]

    def _likely(self, window: Window, part: tuple[int, int]) -> dict[str, float]:
        start = (window.start + part[0]) / 100
        end = (window.start + min(part[1], window.frames)) / 100
        if self.vague is not None and part != (0, N_FRAMES):
            return dict(self.vague)
        shares: dict[str, float] = dict.fromkeys(("en", "de", "fr", "no", "nn"), 0.001)
        for span, language in self.spoken.items():
            shares[language] += max(0.0, min(end, span.end) - max(start, span.start))
        total = sum(shares.values())
        return {language: share / total for language, share in shares.items()}


def window(start: float) -> Window:
    return Window(round(start * 100), N_FRAMES, SPECTROGRAM[:, :N_FRAMES])


def told(languages: SpokenLanguages, listener: Listener, start: float) -> tuple[str, float]:
    """Return the language of the window, and the second at which it changes."""
    language, frame = run_requests(languages.of_window(window(start), SPECTROGRAM), listener.answer)
    return language, frame / 100


ENGLISH = Span(1, 12)
GERMAN = Span(13, 25)


def test_a_window_ends_in_the_pause_before_another_language():
    listener = Listener({ENGLISH: "en", GERMAN: "de"})
    languages = SpokenLanguages([ENGLISH, GERMAN])
    assert told(languages, listener, 0) == ("en", 12.5)
    assert told(languages, listener, 12.5) == ("de", 42.5)
    assert languages.latest == "de"


def test_a_single_language_costs_one_request_per_window():
    listener = Listener({Span(0, 70): "en"})
    languages = SpokenLanguages([Span(start, start + 4) for start in range(0, 65, 5)])
    for start in (0, 28, 56):
        assert told(languages, listener, start)[0] == "en"
    assert [request.window.start for request in listener.requests] == [0, 2800, 5600]


def test_an_unclear_stretch_is_encoded_alone_and_keeps_its_language():
    listener = Listener({Span(0, 30): "en"}, vague={"en": 0.1, "de": 0.3, "fr": 0.3, "no": 0.2, "nn": 0.1})
    assert told(SpokenLanguages([ENGLISH, GERMAN]), listener, 0) == ("en", 30)
    assert [request.window.start for request in listener.requests] == [0, 50, 1250]


def test_a_single_stretch_in_a_window_is_detected_once():
    listener = Listener({ENGLISH: "en"}, vague={"en": 0.4, "de": 0.03, "fr": 0.3, "no": 0.2, "nn": 0.1})
    assert told(SpokenLanguages([ENGLISH], before="de"), listener, 0) == ("en", 30)
    assert len(listener.requests) == 1


@pytest.mark.parametrize(("seconds", "change"), [(1.2, 30), (1.8, 12.5)])
def test_a_name_or_a_loan_word_changes_nothing(seconds, change):
    quote = Span(13, 13 + seconds)
    listener = Listener({ENGLISH: "en", quote: "fr", Span(19, 30): "en"})
    assert told(SpokenLanguages([ENGLISH, quote, Span(19, 30)]), listener, 0) == ("en", change)


def test_similar_languages_do_not_replace_one_another():
    listener = Listener({ENGLISH: "no", Span(13, 23): "nn"})
    assert told(SpokenLanguages([ENGLISH, GERMAN]), listener, 0) == ("no", 30)


def test_only_candidate_languages_are_chosen():
    listener = Listener({ENGLISH: "no", GERMAN: "de"})
    assert told(SpokenLanguages([ENGLISH, GERMAN], candidates=("de", "fr")), listener, 0)[0] in ("de", "fr")


def test_a_language_unknown_to_the_model_is_never_chosen():
    listener = Listener({ENGLISH: "en"})
    assert told(SpokenLanguages([ENGLISH], candidates=("yue", "en")), listener, 0) == ("en", 30)


def test_later_decisions_follow_the_preceding_language():
    listener = Listener({Span(1, 12): "en", Span(40, 50): "de"})
    languages = SpokenLanguages([Span(1, 12), Span(32, 33), Span(40, 50)])
    assert told(languages, listener, 0) == ("en", 30)
    assert told(languages, listener, 39.5) == ("de", 69.5)
    assert told(languages, listener, 19) == ("en", 39.5)
    assert languages.latest == "de"


def test_a_known_language_needs_no_request():
    listener = Listener({ENGLISH: "en"})
    assert told(SpokenLanguages.fixed("cy"), listener, 0) == ("cy", 30)
    assert told(SpokenLanguages([ENGLISH], candidates=("cy",)), listener, 0) == ("cy", 30)
    assert listener.requests == []


def test_the_language_carries_over_to_the_next_block_and_second_passes():
    listener = Listener({ENGLISH: "en", GERMAN: "de"})
    languages = SpokenLanguages([ENGLISH, GERMAN], before="fr")
    assert told(languages, listener, 0) == ("en", 12.5)
    requests = len(listener.requests)
    assert told(languages, listener, 14) == ("de", 44)
    assert told(languages, listener, 3) == ("en", 12.5)
    assert len(listener.requests) == requests


def test_music_before_the_first_word_does_not_set_the_language():
    listener = Listener({Span(0, 30): "nn", Span(40, 60): "de"})
    languages = SpokenLanguages([Span(40, 60)])
    assert told(languages, listener, 0) == ("nn", 30)
    assert languages.latest is None
    assert told(languages, listener, 30) == ("de", 60)


def test_a_short_greeting_takes_the_language_of_the_following_speech():
    vague = Listener({Span(1, 1.6): "en", Span(1.6, 1.9): "fr", Span(1.9, 2.2): "no", Span(40, 65): "de"})
    assert told(SpokenLanguages([Span(1, 2), Span(40, 65)]), vague, 0)[0] == "de"


@pytest.mark.parametrize(
    ("speech", "starts"),
    [
        ([], []),
        ([Span(1, 4)], [0.5]),
        # A short pause ends a long stretch, a longer one a shorter stretch.
        ([Span(1, 2), Span(2.4, 3), Span(3.4, 10)], [0.5]),
        ([Span(1, 5.5), Span(5.9, 8), Span(8.2, 9)], [0.5, 5.7]),
        ([Span(1, 3.2), Span(4.2, 5)], [0.5, 3.7]),
        ([Span(1, 2), Span(6, 7)], [0.5, 5.5]),
        ([Span(0, 9), Span(9.2, 12)], [0, 9.1]),
    ],
)
def test_speech_is_cut_at_its_pauses(speech: Sequence[Span], starts: Sequence[float]):
    assert [stretch.span.start for stretch in stretches(speech)] == pytest.approx(starts)


# --- the candidates


@pytest.mark.parametrize(
    ("language", "codes"),
    [
        (None, ()),
        ("en", ("en",)),
        ("EN", ("en",)),
        ("en-GB", ("en",)),
        ("pt_BR", ("pt",)),
        ("German", ("de",)),
        ("castilian", ("es",)),
    ],
)
def test_languages_by_code_and_by_name(language, codes):
    assert candidate_languages(SpeechOptions("base", language=language), multilingual=True) == codes


def test_a_given_language_takes_precedence_over_candidates():
    limited = SpeechOptions("base", languages=("en", "German", "de"))
    assert candidate_languages(limited, multilingual=True) == ("en", "de")
    fixed = SpeechOptions("base", language="fr", languages=("en", "de"))
    assert candidate_languages(fixed, multilingual=True) == ("fr",)


@pytest.mark.parametrize("language", ["xx", "", "klingon", "-", "en; drop table"])
def test_an_unknown_language_is_refused(language):
    with pytest.raises(InvalidSetting, match="not a language"):
        candidate_languages(SpeechOptions("base", language=language), multilingual=True)


def test_an_english_only_model_refuses_other_languages():
    assert candidate_languages(SpeechOptions("base.en", language="english"), multilingual=False) == ("en",)
    assert candidate_languages(SpeechOptions("base.en", languages=("de", "en")), multilingual=False) == ("en",)
    with pytest.raises(InvalidSetting, match="English only, not French"):
        candidate_languages(SpeechOptions("base.en", language="fr"), multilingual=False)
