"""The program's own errors, each permanent or transient.

The class alone decides whether trying again can help. A class's docstring is the message of an error that was raised
without one.
"""

from __future__ import annotations

from transcription_dagster.urls import without_secrets


class TranscriptionError(Exception):
    """Something went wrong in the transcription platform."""

    def __init__(self, message: str | None = None) -> None:
        # Messages quote URLs, and are shown in logs, events and database rows.
        super().__init__(without_secrets(message or (type(self).__doc__ or "").strip()))


class PermanentError(TranscriptionError):
    """The same input will fail again until something changes."""


class TransientError(TranscriptionError):
    """The same input may succeed later: a network, a service or a process was unavailable."""


class InvalidRecordingId(PermanentError):
    """A recording is identified by a canonical lower-case UUID."""


class InvalidSetting(PermanentError):
    """A setting has a value that cannot be used."""


class RecordingForgotten(PermanentError):
    """The recording was forgotten, so nothing about it is written any more."""


class UnknownRecording(PermanentError):
    """No source is registered for this recording."""


class UnknownSpeaker(PermanentError):
    """There is no voice print of this speaker."""


class EngineMissing(InvalidSetting):
    """The speech engine that the settings name is not installed on this machine."""


class DataRemains(PermanentError):
    """A redacted file contains data that redaction is to remove."""


class SourceNotFound(PermanentError):
    """The source of the recording does not exist."""


class SourceRefused(PermanentError):
    """The settings do not allow the source of the recording."""


class SourceUnavailable(TransientError):
    """The source of the recording did not answer."""


class UnusableAudio(PermanentError):
    """The source contains no audio that can be decoded."""


class UnknownModel(PermanentError):
    """The speech model is neither a known name nor a readable checkpoint."""


class ModelUnavailable(TransientError):
    """The speech model could not be downloaded."""


class TimeLimitExceeded(PermanentError):
    """The recording took longer than its limit allows."""


class TranscriptionAborted(TranscriptionError):
    """The transcription was cancelled."""


class OutOfMemory(PermanentError):
    """The device ran out of memory, also in a smaller second attempt."""


class DeviceBroken(TransientError):
    """The device is unusable: this process must be restarted."""


class ExecutorLost(PermanentError):
    """Every executor that took this recording died while it worked on it."""


class WorkerUnfit(TransientError):
    """This worker cannot use its scratch folder, its disk or its model."""


class WorkTaken(TransientError):
    """This work was given to another worker because this one sent no heartbeats."""


class UnknownRun(PermanentError):
    """The run is not in this worker's Dagster storage."""


class InvalidGpu(PermanentError):
    """The run names a GPU that no executor serves."""


class InvalidTranscript(PermanentError):
    """The document is not a transcript in Amazon Transcribe's layout."""


class InvalidCaptions(PermanentError):
    """The captions cannot be read as SRT or WebVTT."""


class InvalidVocabulary(PermanentError):
    """The vocabulary cannot be read."""


class InvalidWorklist(PermanentError):
    """The worklist is invalid."""


class WorklistNotSaved(PermanentError):
    """The worklist cannot be written."""


class UnrelatedText(PermanentError):
    """The corrected text has too little in common with the captions to be applied to them."""


class UnusableCorrection(PermanentError):
    """The correction does not fit the transcript."""


class CorrectionConflict(PermanentError):
    """The words were changed by another correction."""


class InvalidToken(PermanentError):
    """The token cannot be created."""


class RefinementUnavailable(TransientError):
    """Claude did not answer, or was overloaded."""


class AnswerLost(RefinementUnavailable):
    """A request reached Claude, but its answer did not arrive; it may have been billed."""


class RefinementFailed(PermanentError):
    """Claude gave no usable answer."""


class UnknownToClaude(RefinementFailed):
    """Claude knows no such model or batch."""


class SpendLimitReached(PermanentError):
    """The Anthropic account's spend limit is reached: raise it, then retry the failed recordings."""


class UnusableReply(PermanentError):
    """Claude's reply was refused or cut off, or does not match the requested schema."""


class StoreUnavailable(TransientError):
    """The object store did not answer."""


class StoreRefused(PermanentError):
    """The object store refused the request."""


class DatabaseUnavailable(TransientError):
    """The database did not answer."""


class DatabaseRefused(PermanentError):
    """The database refused the request."""


class WrongDatabaseVersion(PermanentError):
    """The database's tables do not match this version of the program."""


class ServiceUnavailable(TransientError):
    """An external service did not answer."""


class ServiceRefused(PermanentError):
    """An external service refused the request."""


class StackError(PermanentError):
    """The stack could not be started."""
