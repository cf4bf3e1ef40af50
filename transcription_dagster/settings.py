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
        description="State of this installation; everything the program writes is below it.",
    )
    database_url: SecretStr | None = Field(
        default=None, description="Postgres to use (postgresql://...); unset: an embedded one below the home."
    )
    store: str | None = Field(
        default=None, description="URL of the folder that holds the results (file://, s3://); unset: home/store."
    )

    scratch: Path | None = Field(
        default=None, description="Folder for temporary files, on a local disk; unset: home/scratch."
    )

    # --- speech
    model: str = Field(default="medium", description="Whisper model by name, or the path of a checkpoint or folder.")
    engine: SpeechEngineName = Field(
        default=OPENAI_WHISPER,
        description="Speech engine: openai-whisper, or faster-whisper (the extra of that name), which computes in "
        "int8 on a CPU and gives slightly different words.",
    )
    language: str | None = Field(
        default=None,
        description="Language of all recordings, by code or name; unset or auto: detected wherever it changes.",
    )
    languages: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Languages, separated by commas, that may be spoken where `language` is unset; unset: any.",
    )
    beam_size: int | None = Field(default=None, ge=1, le=32, description="Beams; unset: greedy decoding.")
    temperatures: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        default=(0.0, 0.2, 0.4, 0.6, 0.8, 1.0), min_length=1, description="Tried in order while a window looks wrong."
    )
    condition_on_previous_text: bool = Field(
        default=True, description="Prompt each window with the text before it; this can prolong decoding loops."
    )
    remove_invented_speech: bool = Field(
        default=True, description="Remove hallucinations: text where there is no speech, and decoding loops."
    )
    initial_prompt: str | None = Field(default=None, description="Prompt for every recording.")
    vocabulary: Path | None = Field(default=None, description="YAML or CSV file of terms for every recording.")
    speakers: str = Field(
        default="auto",
        description="Speaker diarization: off; auto, if the models are installed; the number of speakers, or a range "
        "such as 2-4.",
    )
    diarizer: DiarizerName = Field(
        default=BUILT_IN_DIARIZER,
        description="Diarization method: built-in, or pyannote (the extra of that name), which runs a pipeline of "
        "pyannote.audio 4 such as community-1.",
    )
    voice_prints: bool = Field(
        default=False,
        description="Store voice prints, so that a speaker named once is recognised in other recordings. Voice prints"
        " are personal data.",
    )
    channels: ChannelMode = Field(
        default="auto",
        description="Channels of a recording: mix, split (transcribe each one separately), or auto: split if the "
        "sound shows that they hold different voices, as in a call.",
    )

    inference: Literal["pool", "process"] = Field(
        default="process", description="Where steps run inference: on the pool's executors, or in their own process."
    )

    # --- redaction
    redact: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Kinds of data to remove from the redacted files, separated by commas: card, iban, email, phone, "
        "ssn, digits, and with AWS Comprehend or Presidio name and address. Unset: no redacted files.",
    )
    publish: Literal["all", "redacted"] = Field(
        default="all", description="What a publication contains: everything, or only the redacted files."
    )

    # --- the pool
    gpus: str | None = Field(default=None, description="GPUs to use, such as 0,1, or none; unset: all.")
    cuda_visible_devices: str | None = Field(
        default=None,
        validation_alias="CUDA_VISIBLE_DEVICES",
        description="CUDA's own selection of GPUs; `gpus` numbers the selected ones.",
    )
    cpu_executors: int = Field(default=1, ge=1, description="Executors to start if there is no GPU.")
    slots: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Recordings decoded together; unset: 32 on a GPU, 4 on a CPU. Fewer if memory is short.",
    )
    runs_per_gpu: int | None = Field(
        default=None,
        ge=1,
        description="GPU-tagged runs in flight per live executor; unset: two more than its slots.",
    )
    run_workers: int | None = Field(
        default=None,
        ge=1,
        description="Processes that execute runs; unset: one per GPU-tagged run in flight, at most one per core.",
    )
    max_jobs_per_worker: int = Field(default=0, ge=0, description="Restart a worker after this many jobs; 0: never.")
    shutdown_seconds: float = Field(
        default=600.0, gt=0, description="Seconds that a worker may take to finish its job after a stop signal."
    )
    heartbeat_seconds: float = Field(default=2.0, gt=0, description="Seconds between the heartbeats of a worker.")
    stale_seconds: float = Field(
        default=8.0, gt=0, description="Seconds without a heartbeat after which a worker counts as dead."
    )
    time_limit_factor: float = Field(
        default=20.0, gt=0, description="Limit on the device time for a recording, as a multiple of its length."
    )
    time_limit_floor_seconds: float = Field(default=300.0, gt=0, description="Minimum of that limit in seconds.")
    max_recording_hours: float = Field(default=24.0, gt=0, description="Longer recordings are refused.")

    run_history_days: float | None = Field(
        default=None,
        ge=1,
        description="Remove the details of Dagster's runs this many days after they ended, every night; the state of "
        "all assets stays. Unset: keep everything.",
    )

    # --- refinement
    refinement: Literal["off", "direct", "batch"] = Field(
        default="direct",
        description="How Claude refines: off (the vocabulary alone), direct, or batch (Message Batches at half the "
        "price).",
    )
    claude_model: str = Field(default="claude-sonnet-5-5", description="Claude model, by its API name.")
    claude_effort: Literal["default", "low", "medium", "high", "xhigh", "max"] = Field(
        default="medium", description="Claude's effort; default: the model's own."
    )
    claude_parallel_windows: int = Field(
        default=4, ge=1, le=64, description="Windows of one recording sent to Claude in parallel."
    )
    claude_batch_recordings: int = Field(
        default=20, ge=1, description="Number of waiting recordings at which a batch is submitted."
    )
    claude_batch_minutes: float = Field(
        default=15.0, ge=0, description="Minutes after which a waiting recording is submitted even in a small batch."
    )
    claude_max_dollars_per_recording: float = Field(
        default=5.0,
        ge=0,
        description="Budget in dollars for one recording; a recording that would cost more stays unrefined.",
    )
    claude_max_dollars_per_day: float = Field(
        default=50.0,
        ge=0,
        description="Budget in dollars for one day (UTC); once it is used up, recordings stay unrefined.",
    )

    # --- embeddings and insights
    embedder: str = Field(
        default="all-MiniLM-L6-v2",
        description="Embedding model: a sentence-transformers name or folder, or amazon.titan-embed-text-v2:0; "
        "none: recordings are not indexed for search.",
    )
    insights: Literal["local", "comprehend"] = Field(
        default="local",
        validate_default=True,
        description="Analyser of the text: local libraries, or AWS Comprehend.",
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
