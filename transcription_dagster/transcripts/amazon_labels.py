"""Labels of speakers and channels in Amazon Transcribe's layout.

From its developer guide: "Example diarization output" (`speaker_labels`) and "Example output for channel
identification" (`channel_labels`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from transcription_dagster.model import Word
from transcription_dagster.transcripts.amazon_layout import (
    Channel,
    ChannelLabels,
    Item,
    SpeakerLabels,
    SpeakerSegment,
    SpokenItem,
)

#: A channel and, if known, one of the speakers on it.
_ON_CHANNEL = re.compile(r"(ch_\d+)(?:/(.+))?", re.ASCII)


def label_of(channel: str | None, speaker: str | None) -> str | None:
    """Return the label of a word. Speakers are numbered per channel: spk_0 of one is not spk_0 of another."""
    return f"{channel}/{speaker}" if channel and speaker else channel or speaker


def labelled(item: Item, speaker: str | None) -> Item:
    """Return an item with the labels of its word."""
    channel, speaker = _parted(speaker)
    labels = item.copy()
    if channel:
        labels["channel_label"] = channel
    if speaker:
        labels["speaker_label"] = speaker
    return labels


def channel_labels(items: Sequence[Item]) -> ChannelLabels | None:
    """Return the items by channel; None if items have no channel."""
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
        (speaker, list(said)) for speaker, said in groupby(words, key=lambda word: _parted(word.speaker)[1]) if speaker
    ]
    if not turns:
        return None
    return SpeakerLabels(
        speakers=len({speaker for speaker, _ in turns}),
        segments=[
            SpeakerSegment(
                start_time=said[0].start,
                end_time=max(word.end for word in said),
                speaker_label=speaker,
                items=[SpokenItem(start_time=word.start, end_time=word.end, speaker_label=speaker) for word in said],
            )
            for speaker, said in turns
        ],
    )


def _parted(speaker: str | None) -> tuple[str | None, str | None]:
    """Split a word's label into its channel and its speaker."""
    found = _ON_CHANNEL.fullmatch(speaker or "")
    return (found[1], found[2]) if found else (None, speaker)
