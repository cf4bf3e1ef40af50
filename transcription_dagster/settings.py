"""All settings of the program, read from the environment and `.env` in one place.

All names begin with `TRANSCRIPTION_`. The credentials of Anthropic and AWS keep the names that their own libraries
read, and are not fields here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from transcription_dagster.errors import InvalidSetting
from transcription_dagster.language.codes import whisper_language, whisper_languages
from transcription_dagster.model import (
    BUILT_IN_DIARIZER,
    OPENAI_WHISPER,
    ChannelMode,
    DiarizerName,
    SpeechEngineName,
    SpeechOptions,
    speaker_limits,
)
from transcription_dagster.network_settings import SourceSettings, WebSettings, split_list

#: Separator of the values of list settings; other compound settings are JSON.
_SEPARATORS = {"source_folders": os.pathsep} | dict.fromkeys(
    ("languages", "redact", "source_hosts", "ui_hosts", "webhook_hosts"), ","
)

#: More slots gain almost nothing: in every step, each recording's own audio must be read.
GPU_SLOTS: Final = 32
CPU_SLOTS: Final = 4
#: Additional recordings per executor, prepared while others are decoded.
RUNS_AHEAD: Final = 2

#: Kinds of data that redaction can remove; the last two require AWS Comprehend or Presidio.
REDACTED_KINDS = ("card", "iban", "email", "phone", "ssn", "digits", "name", "address")


def presidio_installed() -> bool:
    """Return whether Presidio, which detects names and addresses, is installed on this machine."""
    return find_spec("presidio_analyzer") is not None


class Settings(WebSettings, SourceSettings):
    """The program's settings; each field describes its variable and unit."""

    model_config = SettingsConfigDict(
        env_prefix="TRANSCRIPTION_", env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True
    )

    # --- locations
    home: Path = Field(
        default_factory=lambda: Path.home() / ".transcription",
        description="Folder for everything that the program writes.",
    )
    database_url: SecretStr | None = Field(
        default=None, description="URL of the Postgres to use (postgresql://...); if unset, an embedded one."
    )
    store: str | None = Field(
        default=None, description="URL of the folder for results (file://, s3://); if unset, home/store."
    )

    scratch: Path | None = Field(
        default=None, description="Folder for temporary files, on a local disk; if unset, home/scratch."
    )

    # --- speech
    model: str = Field(default="medium", description="Whisper model, by name or as the path of a checkpoint or folder.")
    engine: SpeechEngineName = Field(
        default=OPENAI_WHISPER,
        description="Library that runs the model; faster-whisper requires the extra of that name, computes in int8 "
        "on a CPU, and gives slightly different words.",
    )
    language: str | None = Field(
        default=None,
        description="Language of all recordings, by code or name; if unset or auto, detected wherever it changes.",
    )
    languages: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Languages that may be detected, separated by commas; if unset, all."
    )
    beam_size: int | None = Field(
        default=None, ge=1, le=32, description="Beams of beam search; if unset, decoding is greedy."
    )
    temperatures: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        default=(0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
        min_length=1,
        description="Decoding temperatures, tried in turn while the text of a window looks wrong.",
    )
    condition_on_previous_text: bool = Field(
        default=True, description="Prompt each window with the preceding text, which can prolong loops."
    )
    remove_invented_speech: bool = Field(
        default=True, description="Remove hallucinations, recover lost speech, and align word times with the voice."
    )
    initial_prompt: str | None = Field(
        default=None, description="Text that primes Whisper, instead of the vocabulary; if unset, the vocabulary does."
    )
    vocabulary: Path | None = Field(default=None, description="YAML or CSV file with terms for all recordings.")
    speakers: str = Field(
        default="auto",
        description="Speakers to expect: auto (detected if the models are installed), a number, a range (2-4), or off.",
    )
    diarizer: DiarizerName = Field(
        default=BUILT_IN_DIARIZER,
        description="Diarization method; pyannote requires the extra of that name and runs a pipeline of "
        "pyannote.audio 4 such as community-1.",
    )
    voice_prints: bool = Field(
        default=False,
        description="Store voice prints, which are personal data, to recognise named speakers in other recordings.",
    )
    channels: ChannelMode = Field(
        default="auto",
        description="How to transcribe channels: mix, split (separately), or auto (split if their voices differ).",
    )

    inference: Literal["pool", "process"] = Field(
        default="process", description="Where runs use the models: on the pool's executors, or in their own process."
    )

    # --- redaction
    redact: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Kinds of data to remove from the redacted files, separated by commas: card, iban, email, "
        "phone, ssn, digits, and with AWS Comprehend or Presidio name and address; if unset, there are "
        "no redacted files.",
    )
    publish: Literal["all", "redacted"] = Field(
        default="all", description="Files to publish: all, or only the redacted ones."
    )

    # --- the pool
    gpus: str | None = Field(default=None, description="GPUs to use, such as 0,1, or none; if unset, all.")
    cuda_visible_devices: str | None = Field(
        default=None,
        validation_alias="CUDA_VISIBLE_DEVICES",
        description="CUDA's own selection of GPUs; TRANSCRIPTION_GPUS counts within it.",
    )
    cpu_executors: int = Field(default=1, ge=1, description="Number of executors to start if there is no GPU.")
    slots: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Recordings that an executor decodes together; if unset, 32 on a GPU and 4 on a CPU, fewer if "
        "memory is short.",
    )
    runs_per_gpu: int | None = Field(
        default=None, ge=1, description="GPU-tagged runs in progress per executor; if unset, two more than its slots."
    )
    run_workers: int | None = Field(
        default=None,
        ge=1,
        description="Processes that execute runs; if unset, one per GPU-tagged run in progress, at most one per core.",
    )
    max_jobs_per_worker: int = Field(default=0, ge=0, description="Jobs after which a worker restarts; 0 means never.")
    shutdown_seconds: float = Field(
        default=600.0, gt=0, description="Seconds that a worker may take to finish its job after a stop signal."
    )
    heartbeat_seconds: float = Field(default=2.0, gt=0, description="Seconds between a worker's heartbeats.")
    stale_seconds: float = Field(
        default=8.0, gt=0, description="Seconds without a heartbeat after which a worker counts as dead."
    )
    time_limit_factor: float = Field(
        default=20.0, gt=0, description="Limit on a recording's device time, as a multiple of its length."
    )
    time_limit_floor_seconds: float = Field(
        default=300.0, gt=0, description="Minimum limit on a recording's device time, in seconds."
    )
    max_recording_hours: float = Field(default=24.0, gt=0, description="Maximum length of a recording, in hours.")

    run_history_days: float | None = Field(
        default=None,
        ge=1,
        description="Days to keep details of ended Dagster runs (assets keep their state); if unset, forever.",
    )

    # --- refinement
    refinement: Literal["off", "direct", "batch"] = Field(
        default="direct",
        description="How Claude refines: direct, batch (within a day, at half the price), or off (vocabulary only).",
    )
    claude_model: str = Field(default="claude-sonnet-5-5", description="Claude model, by its name in the API.")
    claude_effort: Literal["default", "low", "medium", "high", "xhigh", "max"] = Field(
        default="medium", description="How much Claude may think; default leaves it to the model."
    )
    claude_parallel_windows: int = Field(
        default=4, ge=1, le=64, description="Number of windows of a recording to send to Claude in parallel."
    )
    claude_batch_recordings: int = Field(
        default=20, ge=1, description="Number of waiting recordings at which a message batch is submitted."
    )
    claude_batch_minutes: float = Field(
        default=15.0, ge=0, description="Minutes that a recording waits at most before a message batch is submitted."
    )
    claude_max_dollars_per_recording: float = Field(
        default=5.0,
        ge=0,
        description="Dollars that a recording may cost in 24 hours; one that would cost more stays unrefined.",
    )
    claude_max_dollars_per_day: float = Field(
        default=50.0,
        ge=0,
        description="Dollars that all recordings may cost in a day (UTC); those beyond stay unrefined.",
    )

    # --- embeddings and insights
    embedder: str = Field(
        default="all-MiniLM-L6-v2",
        description="Embedding model for search: a sentence-transformers name or folder, "
        "amazon.titan-embed-text-v2:0, or none.",
    )
    insights: Literal["local", "comprehend"] = Field(
        default="local", validate_default=True, description="Analyse the text with local libraries or AWS Comprehend."
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest severity of log messages."
    )

    @field_validator("home", "scratch")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value and value.expanduser().absolute()

    @field_validator("language")
    @classmethod
    def _known_language(cls, value: str | None) -> str | None:
        try:
            return whisper_language(value)
        except InvalidSetting as error:
            raise ValueError(str(error)) from None

    @field_validator("languages")
    @classmethod
    def _known_languages(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return whisper_languages(value)
        except InvalidSetting as error:
            raise ValueError(str(error)) from None

    @field_validator("speakers")
    @classmethod
    def _known_speakers(cls, value: str) -> str:
        try:
            speaker_limits(value)
        except InvalidSetting as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("languages", "redact", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        return split_list(value, ",")

    @field_validator("redact")
    @classmethod
    def _are_kinds(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [kind for kind in value if kind not in REDACTED_KINDS]:
            raise ValueError(f"{unknown[0]!r} is no kind: {', '.join(REDACTED_KINDS)}")
        return tuple(dict.fromkeys(value))

    @field_validator("insights")
    @classmethod
    def _finds_names(cls, value: str, info: ValidationInfo) -> str:
        by_models = {"name", "address"} & set(info.data.get("redact", ()))
        if value != "comprehend" and by_models and not presidio_installed():
            raise ValueError(
                "TRANSCRIPTION_REDACT contains name or address, which needs comprehend or Presidio: "
                "pip install 'transcription-dagster[presidio]'"
            )
        return value

    @field_validator("publish")
    @classmethod
    def _has_something_to_publish(cls, value: str, info: ValidationInfo) -> str:
        if value == "redacted" and not info.data.get("redact"):
            raise ValueError("TRANSCRIPTION_REDACT names no kinds, so there are no redacted files")
        return value

    @property
    def store_url(self) -> str:
        """Return the URL of the results' folder, without a trailing slash."""
        return (self.store or (self.home / "store").as_uri()).rstrip("/")

    def require_database_url(self) -> str:
        """Return the database's URL, for processes that require one. Raises `InvalidSetting` if it is not set."""
        if self.database_url is None:
            raise InvalidSetting("TRANSCRIPTION_DATABASE_URL is not set; `transcription up` sets it for what it starts")
        return self.database_url.get_secret_value()

    def slots_on(self, device: str) -> int:
        """Return the number of recordings to decode together on a device, such as `cuda:0` or `cpu:0`."""
        return self.slots or (CPU_SLOTS if device.startswith("cpu") else GPU_SLOTS)

    def runs_for(self, device: str) -> int:
        """Return the number of GPU-tagged runs in flight for an executor on a device."""
        return self.runs_per_gpu or self.slots_on(device) + RUNS_AHEAD

    def speech_options(self) -> SpeechOptions:
        """Return the decoding options of a recording without options of its own."""
        return SpeechOptions(
            model=self.model,
            language=self.language,
            languages=self.languages,
            initial_prompt=self.initial_prompt,
            beam_size=self.beam_size,
            temperatures=self.temperatures,
            condition_on_previous_text=self.condition_on_previous_text,
            remove_invented_speech=self.remove_invented_speech,
            engine=self.engine,
        )

    @cached_property
    def models_folder(self) -> Path:
        """Return the folder for downloaded checkpoints."""
        return self.home / "models"

    @cached_property
    def scratch_folder(self) -> Path:
        """Return the folder for temporary files of steps; each worker has a subfolder."""
        return self.scratch or self.home / "scratch"


#: The settings that a worker took from its environment and the database.
_override: Settings | None = None


def override_settings(settings: Settings) -> None:
    """Make these the settings that `load_settings` returns in this process.

    A worker calls it once, before it imports the definitions, because its settings also come from the database.
    """
    global _override
    _override = settings


def load_settings(**overrides: object) -> Settings:
    """Return the settings from the environment, or those of `override_settings`; `overrides` take precedence.

    Raises `InvalidSetting`, which names the variable and what is wrong with its value, but never a secret's value.
    """
    if _override is not None and not overrides:
        return _override
    return _read(overrides) if overrides else _cached_settings(tuple(os.environ.items()), _state_of_env_file())


@lru_cache(maxsize=1)
def _cached_settings(_environment: tuple[tuple[str, str], ...], _env_file: tuple[str, int, int] | None) -> Settings:
    # Cached: a step needs the settings several times, and reading them takes as long as two of its SQL statements.
    return _read({})


def _state_of_env_file() -> tuple[str, int, int] | None:
    """Return values that change when `.env` changes; None if there is no such file."""
    try:
        path = Path(".env").absolute()
        state = path.stat()
    except FileNotFoundError:
        return None
    return str(path), state.st_mtime_ns, state.st_size


def _read(overrides: Mapping[str, object]) -> Settings:
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [
            f"TRANSCRIPTION_{'_'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise InvalidSetting("; ".join(lines)) from None


def child_environment(settings: Settings) -> dict[str, str]:
    """Return the environment for a child process that must use exactly these settings."""
    values = settings.model_dump(mode="json", include=settings.model_fields_set, exclude_none=True)
    values |= {field: secret.get_secret_value() for field, secret in settings if isinstance(secret, SecretStr)}
    return {**os.environ, **{variable_name(field): _as_text(field, value) for field, value in values.items()}}


def variable_name(field: str) -> str:
    """Return the name of the environment variable that sets a field."""
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else f"TRANSCRIPTION_{field.upper()}"


def _as_text(field: str, value: Any) -> str:
    if field in _SEPARATORS:
        return _SEPARATORS[field].join(value)
    return value if isinstance(value, str) else json.dumps(value)
