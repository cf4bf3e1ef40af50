"""Name a speaker in every recording with the same voice."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, Field

from transcription_dagster.corrections import drafts
from transcription_dagster.corrections.changes import Draft
from transcription_dagster.corrections.desk import Corrected, Manuscript, correct
from transcription_dagster.database.archive import titles
from transcription_dagster.database.connection import Engine
from transcription_dagster.database.tokens import TokenScope
from transcription_dagster.database.voice_prints import VoicePrint, name_speaker, voice_prints
from transcription_dagster.errors import SourceNotFound, UnusableCorrection
from transcription_dagster.web.program_api.correcting import author_of
from transcription_dagster.web.program_api.operations import Call, Input, Operation
from transcription_dagster.web.reading_room.manuscripts import Manuscripts

#: The recording and label of a voice print.
_Key = tuple[str, str]


class VoiceRequest(Input):
    """A person's name for the speaker of a word, given by its index among the machine's words."""

    word: int = Field(ge=0)
    speaker: str = Field(min_length=1, max_length=100)
    who: str | None = Field(
        default=None,
        max_length=100,
        description="The person who names the voice. A request with a token uses the token's name instead.",
    )


class VoiceModel(BaseModel):
    """A recording with the voice; `similarity` is the cosine of the two voice prints."""

    recording: str
    title: str | None
    similarity: float


class VoicesModel(BaseModel):
    """Other recordings in which the voice was named, and those in which it is likely."""

    named: list[VoiceModel]
    likely: list[VoiceModel]


@dataclass(frozen=True, slots=True)
class Voices:
    """Names voices by corrections, which each recording's history shows and can undo."""

    engine: Engine
    manuscripts: Manuscripts

    def operations(self) -> list[Operation]:
        """Return the operation that names a voice."""
        path = "/api/recordings/{recording}/voices"
        summary = "Name a speaker in every recording where the voice is certain"
        return [
            Operation(
                "POST", path, TokenScope.CORRECT, summary, self.name, VoiceRequest, VoicesModel, shows_everything=True
            )
        ]

    def name(self, call: Call) -> VoicesModel:
        """Name the voice here and in certain matches. Raises `UnusableCorrection` if there is no voice print."""
        wanted: VoiceRequest = call.values
        manuscript = self.manuscripts.of(call.recording)
        before = {(each.recording, each.label): each.person for each in voice_prints(self.engine)}
        label = self._label(manuscript, wanted.word)
        person, who = " ".join(wanted.speaker.split()), author_of(call, wanted.who)
        if not person.isprintable():
            raise UnusableCorrection("a speaker's name is one line of text")
        self._name_in(manuscript, label, before.get((call.recording, label)), person, who)
        found = name_speaker(self.engine, call.recording, label, person)
        certain = [each for each in found if each.name is not None and self._named(each, before, who)]
        likely = [each for each in found if each.name is None]
        known = titles(self.engine, {each.recording for each in found})
        return VoicesModel(named=_models(certain, known), likely=_models(likely, known))

    def _label(self, manuscript: Manuscript, word: int) -> str:
        """Return the diarization label of a word."""
        words = manuscript.base.words
        if word >= len(words):
            raise UnusableCorrection(f"word {word} is not among the {len(words)} of the transcript")
        speaker = words[word].speaker
        for each in voice_prints(self.engine, manuscript.recording):
            if speaker is not None and speaker in (each.label, each.person):
                return each.label
        raise UnusableCorrection("no voice print of this speaker is kept: TRANSCRIPTION_VOICE_PRINTS keeps new ones")

    def _named(self, found: VoicePrint, before: Mapping[_Key, str | None], who: str) -> bool:
        """Name a voice in its recording; return False if it has no transcript or the speaker has another name."""
        try:
            manuscript = self.manuscripts.of(found.recording)
        except SourceNotFound:
            return False
        old = before.get((found.recording, found.label))
        return self._name_in(manuscript, found.label, old, found.person or "", who)

    def _name_in(self, manuscript: Manuscript, label: str, old: str | None, person: str, who: str) -> bool:
        def named(now: Corrected) -> list[Draft]:
            theirs = {speaker for speaker in (label, old) if speaker is not None}
            place = next((each for each in now.reading.passages() if each.speaker in theirs), None)
            if place is None:
                return []
            return drafts.named(now.reading, place.first, place.stop, person, everywhere=True)

        # Only name turns that still have the old label, since other corrections may have been made meanwhile.
        after = correct(self.engine, manuscript, named, who=who, seen=sys.maxsize)
        return any(passage.speaker == person for passage in after.reading.passages())


def _models(found: list[VoicePrint], known: Mapping[str, str]) -> list[VoiceModel]:
    return [
        VoiceModel(
            recording=each.recording, title=known.get(each.recording), similarity=round(each.similarity or 0.0, 3)
        )
        for each in found
    ]
