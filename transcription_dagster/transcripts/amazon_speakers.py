"""Channels and speakers in documents of Amazon Transcribe: which word is whose, and the lists that say so."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import groupby

from transcription_dagster.errors import InvalidTranscript
from transcription_dagster.model import Word
from transcription_dagster.transcripts.amazon_layout import (
    AmazonResults,
    Channel,
    ChannelLabels,
    Item,
    SpeakerLabels,
    SpeakerSegment,
    SpokenItem,
)
from transcription_dagster.transcripts.turn_order import order_by_turns
from transcription_dagster.transcripts.word_timing import settle_spans

#: A channel and, if known, one of the speakers on it.
_ON_CHANNEL = re.compile(r"(ch_\d+)(?:/(.+))?", re.ASCII)


def items_by_channel(results: AmazonResults) -> list[list[Item]]:
    """Return the items of each channel in order, or all items as one channel if the document has no channels."""
    items = results.get("items") or []
    if not any(item.get("channel_label") for item in items):
        # Older documents repeat the items by channel, and only this repetition gives a word's channel.
        channels = (results.get("channel_labels") or {}).get("channels") or []
        by_label: list[list[Item]] = [
            [{**item, "channel_label": channel["channel_label"]} for item in channel.get("items") or []]
            for channel in channels
        ]
        if results.get("items") is None and not channels:
            raise InvalidTranscript("results.items: Field required")
        return [channel_items for channel_items in by_label if channel_items] or [items]
    by_channel: dict[str | None, list[Item]] = {}
    label = None
    for item in items:
        # A mark without a label belongs to the word before it.
        label = item.get("channel_label") or label
        by_channel.setdefault(label, []).append(item)
    return list(by_channel.values())


def in_order_of_turns(
    texts: Sequence[str], items: Sequence[Item], times: Sequence[tuple[float | None, float | None]]
) -> tuple[list[int], list[tuple[float | None, float | None]]]:
    """Return the transcript order of words that are listed channel by channel, and their times in that order."""
    labels = [item.get("channel_label") or "" for item in items]
    spans: list[tuple[float, float]] = []
    for _, indices in groupby(range(len(texts)), key=labels.__getitem__):
        channel = list(indices)
        spans += settle_spans([times[index] for index in channel], [len(texts[index]) for index in channel])
    order, ordered = order_by_turns(texts, spans, labels)
    return order, [*ordered]


def speakers_of_items(items: Sequence[Item], labels: SpeakerLabels | None) -> list[str | None]:
    """Return the speaker of each word, from its item or, in the older layout, from a separate list."""
    by_start: dict[float | None, str | None] = {}
    turns = labels.get("segments") or [] if labels else []
    for turn in turns:
        by_start |= {
            word.get("start_time"): word.get("speaker_label") or turn.get("speaker_label")
            for word in turn.get("items") or ()
        }
    by_start.pop(None, None)
    if not by_start:
        by_start = _within_turns(items, turns)
    return [
        _label_of(item.get("channel_label"), item.get("speaker_label") or by_start.get(item.get("start_time")))
        for item in items
    ]


def _within_turns(items: Sequence[Item], turns: Sequence[SpeakerSegment]) -> dict[float | None, str | None]:
    """Return the speaker of each start time within a turn, for documents whose turns do not list their words."""
    speakers: dict[float | None, str | None] = {}
    ordered = sorted(turns, key=lambda turn: turn.get("start_time") or 0.0)
    starts = [turn.get("start_time") or 0.0 for turn in ordered]
    for item in items:
        start = item.get("start_time")
        index = bisect_right(starts, start) - 1 if start is not None else -1
        if index >= 0 and start is not None and start < (ordered[index].get("end_time") or 0.0):
            speakers[start] = ordered[index].get("speaker_label")
    return speakers


def _label_of(channel: str | None, speaker: str | None) -> str | None:
    """Return the label of a word. Speakers are numbered per channel: spk_0 of one is not spk_0 of another."""
    return f"{channel}/{speaker}" if channel and speaker else channel or speaker


def with_labels(item: Item, label: str | None) -> Item:
    """Return an item with its channel and speaker, from the label of its word."""
    channel, speaker = _split_label(label)
    labels = item.copy()
    if channel:
        labels["channel_label"] = channel
    if speaker:
        labels["speaker_label"] = speaker
    return labels


def channel_labels(items: Sequence[Item]) -> ChannelLabels | None:
    """Return the items by channel; None if no item has a channel."""
    channels = sorted({label for item in items if (label := item.get("channel_label"))})
    if not channels:
        return None
    return ChannelLabels(
        channels=[
            Channel(channel_label=channel, items=[item for item in items if item.get("channel_label") == channel])
            for channel in channels
        ],
        number_of_channels=len(channels),
    )


def speaker_labels(words: Sequence[Word]) -> SpeakerLabels | None:
    """Return the turns of the speakers; None if no word has a speaker in addition to its channel."""
    turns = [
        (speaker, list(turn))
        for speaker, turn in groupby(words, key=lambda word: _split_label(word.speaker)[1])
        if speaker
    ]
    if not turns:
        return None
    return SpeakerLabels(
        speakers=len({speaker for speaker, _ in turns}),
        segments=[
            SpeakerSegment(
                start_time=turn[0].start,
                end_time=max(word.end for word in turn),
                speaker_label=speaker,
                items=[SpokenItem(start_time=word.start, end_time=word.end, speaker_label=speaker) for word in turn],
            )
            for speaker, turn in turns
        ],
    )


def _split_label(label: str | None) -> tuple[str | None, str | None]:
    """Split a word's label into its channel and its speaker."""
    match = _ON_CHANNEL.fullmatch(label or "")
    return (match[1], match[2]) if match else (None, label)
