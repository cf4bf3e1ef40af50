"""Reading and writing transcripts as JSON documents in the layout of Amazon Transcribe's output."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from transcription_dagster.errors import InvalidRecordingId, InvalidTranscript
from transcription_dagster.language.boundaries import is_unspaced
from transcription_dagster.model import Segment, Transcript, Word, recording_id
from transcription_dagster.transcripts.amazon_layout import (
    Alternative,
    AmazonResults,
    AudioSegment,
    Document,
    FullText,
    Item,
    SpokenLanguage,
    Whisper,
    parse_document,
    render_document,
)
from transcription_dagster.transcripts.amazon_speakers import (
    channel_labels,
    in_order_of_turns,
    items_by_channel,
    speaker_labels,
    speakers_of_items,
    with_labels,
)
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.transcripts.word_languages import LanguageRun, language_runs, spoken_seconds
from transcription_dagster.transcripts.word_timing import settle_spans

#: Punctuation that ends a sentence, and characters that may follow it.
_MARKS = frozenset(""".,;:!?…。、，．！？；：؟،؛۔।॥]})"”»」』）】〉》""")
_AFTER_MARKS = """'’.,;:!?…"”»]})"""
_OPENING_PUNCTUATION = frozenset("¿¡([{“‘«„‚「『（【〈《")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]+")
#: Languages written without spaces between words.
_UNSPACED_LANGUAGES = frozenset({"zh", "yue", "wuu", "ja", "th", "lo", "my", "km", "bo"})


def read_transcript(document: str | bytes, *, recording: str | None = None) -> Transcript:
    """Read a transcript written by this program or by Amazon Transcribe.

    `recording` is the recording's UUID, or "" if only the words matter; without it the document's `jobName` must be the
    UUID. Words without a time, or with one before the previous word, are placed between their neighbours. Raises
    `InvalidTranscript` with the position, and `InvalidRecordingId` for an invalid `recording`.
    """
    content = parse_document(document)
    name = _recording(content.get("jobName") or "", recording)
    words, item_words = _words(content)
    if not words and any(map(str.isalnum, text := _untimed_text(content["results"]))):
        raise InvalidTranscript(f"results.items: the words of {text[:40]!r} are missing, and with them their times")
    whisper = content.get("whisper")
    if whisper is None:
        return Transcript(
            recording=name,
            words=words,
            segments=_audio_segments(content["results"], item_words),
            language=_language(content["results"]),
            duration=_known_end(content["results"], words),
        )
    _check_ranges("segments", whisper["segments"], len(words))
    languages = whisper.get("languages", ())
    _check_ranges("languages", languages, len(words))
    return Transcript(
        recording=name,
        words=_in_languages(words, languages),
        segments=whisper["segments"],
        language=whisper["language"],
        duration=whisper["duration"],
        model=whisper["model"],
        options=_frozen(whisper["options"]),
        removed=whisper["removed"],
        doubtful=whisper.get("doubtful", ()),
        gaps=whisper.get("gaps", ()),
    )


def write_transcript(transcript: Transcript) -> str:
    """Write the transcript as one JSON document, from which `read_transcript` restores it.

    Word times are rounded to the millisecond, everything else is exact. Sequences among the options are restored as
    tuples.
    """
    whisper = Whisper(
        model=transcript.model,
        language=transcript.language,
        duration=transcript.duration,
        options=_thawed(transcript.options),
        segments=transcript.segments,
        languages=tuple(run for run in language_runs(transcript.words, "") if run.language),
        glued=[number for number, word in enumerate(transcript.words) if word.glued],
        removed=transcript.removed,
        doubtful=transcript.doubtful,
        gaps=transcript.gaps,
    )
    return render_document(
        Document(
            jobName=transcript.recording,
            accountId="",
            status="COMPLETED",
            results=_results(transcript),
            whisper=whisper,
        )
    )


def _results(transcript: Transcript) -> AmazonResults:
    """Return the words, segments, languages, channels and speakers in Amazon's layout."""
    items, word_items = _items(transcript.words)
    results = AmazonResults(
        transcripts=[FullText(transcript=join_words(transcript.words))],
        items=items,
        audio_segments=[
            AudioSegment(
                id=number,
                transcript=join_words(transcript.words[segment.first : segment.stop]),
                start_time=segment.start,
                end_time=segment.end,
                items=[item for word in range(segment.first, segment.stop) for item in word_items[word]],
            )
            for number, segment in enumerate(transcript.segments)
        ],
    )
    languages = spoken_seconds(transcript.words, transcript.language)
    if len(languages) > 1:
        results["language_codes"] = [
            SpokenLanguage(language_code=language, duration_in_seconds=round(seconds, 3))
            for language, seconds in languages.items()
        ]
    else:
        results["language_code"] = transcript.language
    if channels := channel_labels(items):
        results["channel_labels"] = channels
    if speakers := speaker_labels(transcript.words):
        results["speaker_labels"] = speakers
    return results


def _untimed_text(results: AmazonResults) -> str:
    """Return the whole text of a document, which it may have without the times of words."""
    return " ".join(" ".join(text["transcript"].split()) for text in results.get("transcripts") or ()).strip()


def _known_end(results: AmazonResults, words: Sequence[Word]) -> float:
    """Return the latest time in Amazon's document, which does not contain the recording's length."""
    turns = (results.get("speaker_labels") or {}).get("segments") or []
    ends = [segment.get("end_time") for segment in (*(results.get("audio_segments") or ()), *turns)]
    return max((*(word.end for word in words), *(end for end in ends if end is not None)), default=0.0)


def _recording(job_name: str, recording: str | None) -> str:
    if recording is not None:
        return recording_id(recording) if recording else ""
    try:
        return recording_id(job_name)
    except InvalidRecordingId:
        raise InvalidTranscript(
            f"jobName: {job_name[:80]!r} is not the UUID of a recording: say which recording this is"
        ) from None


def _language(results: AmazonResults) -> str:
    if language := results.get("language_code"):
        return language
    languages = results.get("language_codes")
    if not languages:
        return "en"
    return max(languages, key=lambda language: language.get("duration_in_seconds") or 0.0)["language_code"]


def _words(content: Document) -> tuple[tuple[Word, ...], dict[int, int]]:
    """Return the words, and for each item the index of its word."""
    is_whisper = content.get("whisper") is not None
    channels = [content["results"].get("items") or []] if is_whisper else items_by_channel(content["results"])
    texts, items, item_words = _texts([item for items in channels for item in items])
    speakers = speakers_of_items(items, None if is_whisper else content["results"].get("speaker_labels"))
    times = [(item.get("start_time"), item.get("end_time")) for item in items]
    if len(channels) > 1:
        order, times = in_order_of_turns(texts, items, times)
        texts, items = [texts[index] for index in order], [items[index] for index in order]
        speakers = [speakers[index] for index in order]
        new_indices = {index: new_index for new_index, index in enumerate(order)}
        item_words = {item: new_indices[index] for item, index in item_words.items()}
    # In this program's documents simultaneous speakers keep their times, which only increase for each speaker.
    spans = _settled(times, texts, speakers if is_whisper else [None] * len(texts))
    glued = _glued(texts, content)
    words = tuple(
        Word(
            text,
            start,
            end,
            _confidence(item),
            index in glued,
            speaker,
            item.get("language_code"),
            corrected=item.get("corrected", False),
        )
        for index, (text, (start, end), item, speaker) in enumerate(zip(texts, spans, items, speakers, strict=True))
    )
    return words, item_words


def _settled(
    times: Sequence[tuple[float | None, float | None]], texts: Sequence[str], speakers: Sequence[str | None]
) -> list[tuple[float, float]]:
    """Return the words' times, increasing among the words of each speaker."""
    spans: dict[int, tuple[float, float]] = {}
    for speaker in dict.fromkeys(speakers):
        indices = [index for index, other in enumerate(speakers) if other == speaker]
        settled = settle_spans([times[index] for index in indices], [len(texts[index]) for index in indices])
        spans |= zip(indices, settled, strict=True)
    return [spans[index] for index in range(len(texts))]


def _texts(items: Sequence[Item]) -> tuple[list[str], list[Item], dict[int, int]]:
    """Return the words' texts with punctuation, the spoken items, and the index of each item's word."""
    texts: list[str] = []
    spoken: list[Item] = []
    item_words: dict[int, int] = {}
    opening = ""
    for position, item in enumerate(items):
        content = " ".join(_CONTROL.sub(" ", item["alternatives"][0]["content"]).split())
        if item["type"] == "pronunciation":
            if not content:
                continue
            number = item.get("id")
            item_words[position if number is None else number] = len(texts)
            texts.append(opening + content)
            spoken.append(item)
            opening = ""
        elif item["type"] != "punctuation":
            raise InvalidTranscript(f"results.items[{position}].type: {item['type'][:40]!r} is not a kind of item")
        elif not texts or content in _OPENING_PUNCTUATION:
            opening += content
        else:
            texts[-1] += content
    if opening and texts:
        texts[-1] += opening
    return texts, spoken, item_words


def _glued(texts: Sequence[str], content: Document) -> set[int]:
    """Return the words that are written without a space before them."""
    if whisper := content.get("whisper"):
        return set(whisper["glued"])
    unspaced = [is_unspaced(text[0]) for text in texts]
    language = _language(content["results"]).lower().replace("_", "-").split("-")[0]
    throughout = language in _UNSPACED_LANGUAGES or sum(unspaced) * 2 > len(unspaced)
    glued = set()
    for number in range(1, len(texts)):
        before, after = texts[number - 1][-1], texts[number][0]
        if (is_unspaced(before) and is_unspaced(after)) or (throughout and (is_unspaced(before) or is_unspaced(after))):
            glued.add(number)
    return glued


def _confidence(item: Item) -> float:
    confidence = item["alternatives"][0].get("confidence")
    return 1.0 if confidence is None else min(1.0, max(0.0, confidence))


def _audio_segments(results: AmazonResults, item_words: Mapping[int, int]) -> tuple[Segment, ...]:
    segments = []
    for segment in results.get("audio_segments") or ():
        words = [item_words[item] for item in segment.get("items") or () if item in item_words]
        if words:
            segments.append(Segment(segment["start_time"], segment["end_time"], min(words), max(words) + 1))
    return tuple(segments)


def _check_ranges(name: str, ranges: Sequence[Segment | LanguageRun], count: int) -> None:
    for number, part in enumerate(ranges):
        if not 0 <= part.first <= part.stop <= count:
            raise InvalidTranscript(
                f"whisper.{name}[{number}]: words {part.first} to {part.stop} are not among the {count} words"
            )


def _in_languages(words: tuple[Word, ...], languages: Sequence[LanguageRun]) -> tuple[Word, ...]:
    by_word: list[str | None] = [None] * len(words)
    for run in languages:
        by_word[run.first : run.stop] = [run.language] * (run.stop - run.first)
    return tuple(
        word if word.language == language else replace(word, language=language)
        for word, language in zip(words, by_word, strict=True)
    )


def _items(words: Sequence[Word]) -> tuple[list[Item], list[list[int]]]:
    """Return the items, and the indices of the items of each word."""
    items: list[Item] = []
    word_items: list[list[int]] = []
    for word in words:
        content, marks = _split_punctuation(word.text)
        first = len(items)
        alternative = Alternative(content=content, confidence=word.confidence)
        item = Item(
            id=first, type="pronunciation", alternatives=[alternative], start_time=word.start, end_time=word.end
        )
        if word.corrected:
            item["corrected"] = True
        items.append(item)
        for number, mark in enumerate(marks, start=first + 1):
            alternative = Alternative(content=mark, confidence=0.0)
            items.append(Item(id=number, type="punctuation", alternatives=[alternative]))
        items[first:] = [with_labels(item, word.speaker) for item in items[first:]]
        word_items.append(list(range(first, len(items))))
    return items, word_items


def _split_punctuation(text: str) -> tuple[str, str]:
    """Split a word's text into the spoken part and the punctuation after it; only marks count as spoken."""
    if not any(character.isalnum() for character in text):
        return text, ""
    # Searched from the end: a pattern searched from the start would try every mark of a long row.
    earliest = max(1, len(text.rstrip(_AFTER_MARKS)) - 1)
    cuts = range(earliest, len(text))
    cut = next((index for index in cuts if text[index] in _MARKS and not text[index - 1].isspace()), len(text))
    return text[:cut], text[cut:]


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen(item) for key, item in value.items()})
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _thawed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _thawed(item) for key, item in value.items()}
    return [_thawed(item) for item in value] if isinstance(value, list | tuple) else value
