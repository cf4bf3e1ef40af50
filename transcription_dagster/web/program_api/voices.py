"""Name a speaker in every recording with the same voice."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, Field

from transcription_dagster.corrections import drafts
from transcription_dagster.corrections.changes import Draft
from transcription_dagster.corrections.manuscript import CorrectedText, Manuscript, correct
from transcription_dagster.database.archive import titles
from transcription_dagster.database.connection import Engine
from transcription_dagster.database.tokens import TokenScope
from transcription_dagster.database.voice_prints import VoicePrint, name_speaker, voice_prints
from transcription_dagster.errors import SourceNotFound, UnusableCorrection
from transcription_dagster.web.program_api.correcting import author_of
from transcription_dagster.web.program_api.operations import Call, Input, Operation
from transcription_dagster.web.reading_room.archive import Manuscripts

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
    """The operation that names a voice. It records corrections, which each recording's history shows and can undo."""

    engine: Engine
    manuscripts: Manuscripts

    def operations(self) -> list[Operation]:
        """Return the operation."""
        path = "/api/recordings/{recording}/voices"
        summary = "Name a speaker in every recording where the voice is certain"
        return [
            Operation(
                "POST", path, TokenScope.CORRECT, summary, self.name, VoiceRequest, VoicesModel, shows_everything=True
            )
        ]

    def name(self, call: Call) -> VoicesModel:
        """Name the voice here and in certain matches. Raises `UnusableCorrection` if there is no voice print."""
        values: VoiceRequest = call.values
        manuscript = self.manuscripts.of(call.recording)
        old_names = {
            (voice_print.recording, voice_print.label): voice_print.person for voice_print in voice_prints(self.engine)
        }
        label = self._label(manuscript, values.word)
        person, who = " ".join(values.speaker.split()), author_of(call, values.who)
        if not person.isprintable():
            raise UnusableCorrection("a speaker's name is one line of text")
        self._name_in(manuscript, label, old_names.get((call.recording, label)), person, who)
        matches = name_speaker(self.engine, call.recording, label, person)
        named = [match for match in matches if match.name is not None and self._name_match(match, old_names, who)]
        likely = [match for match in matches if match.name is None]
        known_titles = titles(self.engine, {match.recording for match in matches})
        return VoicesModel(named=_models(named, known_titles), likely=_models(likely, known_titles))

    def _label(self, manuscript: Manuscript, word: int) -> str:
        """Return the diarization label of a word."""
        words = manuscript.base.words
        if word >= len(words):
            raise UnusableCorrection(f"word {word} is not among the {len(words)} of the transcript")
        speaker = words[word].speaker
        for voice_print in voice_prints(self.engine, manuscript.recording):
            if speaker is not None and speaker in (voice_print.label, voice_print.person):
                return voice_print.label
        raise UnusableCorrection("no voice print of this speaker is kept: TRANSCRIPTION_VOICE_PRINTS keeps new ones")

    def _name_match(self, match: VoicePrint, old_names: Mapping[_Key, str | None], who: str) -> bool:
        """Name a voice in its recording; return False if it has no transcript or the speaker has another name."""
        try:
            manuscript = self.manuscripts.of(match.recording)
        except SourceNotFound:
            return False
        old_name = old_names.get((match.recording, match.label))
        return self._name_in(manuscript, match.label, old_name, match.person or "", who)

    def _name_in(self, manuscript: Manuscript, label: str, old_name: str | None, person: str, who: str) -> bool:
        """Name the turns that still have the label or the old name; return whether any turn has the new name."""

        def name_turns(text: CorrectedText) -> list[Draft]:
            passages = (passage for passage in text.reading.passages() if passage.speaker)
            own = next((passage for passage in passages if passage.speaker in (label, old_name)), None)
            return [] if own is None else drafts.set_speaker(text.reading, own.first, own.stop, person, everywhere=True)

        # The change applies to whatever other corrections were made meanwhile, so it cannot conflict with them.
        text = correct(self.engine, manuscript, name_turns, who=who, seen=sys.maxsize)
        return any(passage.speaker == person for passage in text.reading.passages())


def _models(matches: list[VoicePrint], known_titles: Mapping[str, str]) -> list[VoiceModel]:
    return [
        VoiceModel(
            recording=match.recording,
            title=known_titles.get(match.recording),
            similarity=round(match.similarity or 0.0, 3),
        )
        for match in matches
    ]
