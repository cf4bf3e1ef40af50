"""The settings that affect results: one document in the database for all machines.

`transcription up` and `transcription settings push` write it from their environment. Every worker reads it at its
start, takes from it the settings that its own environment does not set, and refuses to start if the two contradict each
other. When the document changes, workers finish their current run or request and restart.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import re
import socket
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from transcription_dagster import __version__
from transcription_dagster.atomic_files import replacing
from transcription_dagster.database import settings_documents
from transcription_dagster.database.connection import Engine, check_version, opened_database
from transcription_dagster.database.settings_documents import StoredSettings
from transcription_dagster.errors import InvalidSetting, UnknownModel
from transcription_dagster.settings import Settings, variable_name
from transcription_dagster.store import shared_files
from transcription_dagster.vocabulary.files import read_vocabulary

#: Key in the document, beside the settings: whether refinement has credentials for Claude.
CREDENTIALS = "ANTHROPIC_API_KEY"
_SET, _UNSET = "set", "not set"
_LONGEST_SHOWN = 70


class SettingScope(StrEnum):
    """Where the value of a setting comes from."""

    #: The database's document: the setting affects results, liveness or retention.
    SHARED = "shared"
    #: Each machine: folders, processes, time limits, and settings of the machine with the daemon.
    MACHINE = "machine"
    #: Each machine; the value is never shown.
    SECRET = "secret"  # noqa: S105  a name


_SHARED = """
store
model engine language languages beam_size temperatures condition_on_previous_text remove_invented_speech initial_prompt
vocabulary speakers diarizer voice_prints channels redact publish
refinement claude_model claude_effort claude_parallel_windows claude_batch_recordings claude_batch_minutes
claude_max_dollars_per_recording claude_max_dollars_per_day
embedder insights
source_folders source_hosts ib_url_template ib_allow_private max_source_gb max_recording_hours
heartbeat_seconds stale_seconds run_history_days
"""
_MACHINE = """
home scratch inference
gpus cuda_visible_devices cpu_executors slots runs_per_gpu run_workers max_jobs_per_worker shutdown_seconds
time_limit_factor time_limit_floor_seconds host port ui_trust_proxy ui_hosts
source_directory source_s3 source_sqs ib_list_url ib_token_variable source_stall_seconds source_time_limit_seconds
requests_per_tick max_waiting_runs webhook_hosts log_level
"""
_SECRET = "database_url ui_password webhook_secret"  # noqa: S105  a name

#: The scope of every setting. Add new settings above; a test compares them with `Settings`.
SCOPES: Mapping[str, SettingScope] = {
    **dict.fromkeys(_SHARED.split(), SettingScope.SHARED),
    **dict.fromkeys(_MACHINE.split(), SettingScope.MACHINE),
    **dict.fromkeys(_SECRET.split(), SettingScope.SECRET),
}
SHARED = tuple(name for name, scope in SCOPES.items() if scope is SettingScope.SHARED)


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting with two different values, in the form that may be shown."""

    #: Name of the environment variable.
    variable: str
    here: str
    there: str

    def __str__(self) -> str:
        return f"{self.variable}: {self.here} here, {self.there} in the database"


def document_of(settings: Settings, *, has_credentials: bool) -> dict[str, Any]:
    """Return the document for these settings: JSON values by setting name.

    A vocabulary is included with its content, a checkpoint or a folder of weights with its SHA-256. `has_credentials`
    says whether this machine has credentials for Claude. Raises `InvalidSetting`, `InvalidVocabulary` or `UnknownModel`
    for an unusable file.
    """
    document = _values(settings, SHARED)
    if settings.refinement != "off":
        document[CREDENTIALS] = _SET if has_credentials else _UNSET
    return document


def _values(settings: Settings, names: Collection[str]) -> dict[str, Any]:
    """Return the values of these settings as they appear in a document."""
    document: dict[str, Any] = settings.model_dump(mode="json", include=set(names))
    if "store" in names:
        document["store"] = settings.store_url
    if "vocabulary" in names and settings.vocabulary is not None:
        document["vocabulary"] = _vocabulary(settings.vocabulary)
    for name, path in _named_files(settings).items():
        if name in names:
            document[name] = str(shared_files.identify(path))
    return document


def document_digest(document: Mapping[str, Any]) -> str:
    """Return the document's SHA-256, hexadecimal."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def changed_values(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[Difference]:
    """Return the settings whose values differ between two documents."""
    names = dict.fromkeys([*here, *there])
    return [
        Difference(document_variable(name), display_value(name, here.get(name)), display_value(name, there.get(name)))
        for name in names
        if here.get(name) != there.get(name)
    ]


def display_value(name: str, value: Any) -> str:
    """Return a value of a document for display: one short line, without passwords in URLs."""
    if value is None or value in ("", []):
        return _UNSET
    if name == "vocabulary":
        return f"{value['name']} (SHA-256 {hashlib.sha256(value['text'].encode()).hexdigest()[:12]})"
    if isinstance(value, str) and (file := shared_files.parse_reference(value)):
        return f"{file.name} (SHA-256 {file.digest[:12]})"
    text = value if isinstance(value, str) else json.dumps(value)
    text = re.sub(r"://[^/?#@]*@", "://***@", text)
    text = re.sub(r"(://[^?\s]*\?)\S*", r"\1***", text)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}… ({len(text):,} characters)"


def push(settings: Settings, engine: Engine, *, has_credentials: bool) -> StoredSettings | None:
    """Put this environment's settings in force for all machines; return the settings that they replaced.

    Files that they name are copied below the home, and into the store if other machines may use the database. Raises
    the errors of `document_of`, `StoreUnavailable` and `StoreRefused`.
    """
    document = document_of(settings, has_credentials=has_credentials)
    for path in _named_files(settings).values():
        share_file(path, settings)
    return settings_documents.push(
        engine,
        document,
        digest=document_digest(document),
        program=__version__,
        pushed_by=_user(),
        host=socket.gethostname(),
    )


def share_file(path: Path, settings: Settings) -> str:
    """Copy a file or folder to where workers of this and other machines find it.

    Return a reference to it. Raises `InvalidSetting`, `StoreUnavailable` or `StoreRefused`.
    """
    file = shared_files.identify(path)
    shared_files.keep(file, path, settings.home)
    if settings.database_url is not None:  # Other machines cannot use the embedded database.
        shared_files.publish(file, path, settings.store_url)
    return str(file)


def contradictions(
    settings: Settings, names: Collection[str], stored: StoredSettings, *, has_credentials: Callable[[], bool] | None
) -> list[Difference]:
    """Return the settings among `names` that have a different value in the document.

    `has_credentials` says whether there are credentials for Claude; None if this worker never refines.
    """
    here = _values(settings, [name for name in SHARED if name in names])
    if has_credentials is not None and CREDENTIALS in stored.document:
        here[CREDENTIALS] = _SET if has_credentials() else _UNSET
    return changed_values(here, {name: stored.document.get(name) for name in here})


def adopt(settings: Settings, stored: StoredSettings) -> Settings:
    """Return the settings with the document's values of all shared ones; a vocabulary is written below the home.

    Raises `InvalidSetting` if this program cannot read the document.
    """
    document = {name: value for name, value in stored.document.items() if name in SHARED}
    vocabulary = document.pop("vocabulary", None)
    if vocabulary is not None:
        document["vocabulary"] = _write_vocabulary(vocabulary, settings.home)
    try:
        shared = Settings(_env_file=None, **document)  # type: ignore[call-arg]  # pydantic-settings' own argument
    except ValueError:
        raise InvalidSetting(
            f"the settings in the database (version {stored.version}, by program {stored.program}) cannot be read by "
            f"this program, {__version__}: install the same version on every machine"
        ) from None
    values = {name: getattr(shared, name) for name in SHARED if name in document}
    return settings.model_copy(update={"vocabulary": None, **values})


def with_shared_settings(settings: Settings, engine: Engine) -> Settings:
    """Return the settings with the shared ones in force; unchanged before the first `up`.

    For commands that read, add or remove results: this machine's own values do not change how those were made, nor
    where they are.
    """
    stored = settings_documents.current(engine)
    return settings if stored is None else adopt(settings, stored)


def in_force(settings: Settings, url: str) -> StoredSettings | None:
    """Read the document in force. Raises `WrongDatabaseVersion` or `DatabaseUnavailable`."""
    with opened_database(url) as engine:
        check_version(engine)
        return settings_documents.current(engine)


def worker_settings(
    settings: Settings, url: str, *, in_stack: bool, has_credentials: Callable[[], bool] | None
) -> tuple[Settings, StoredSettings]:
    """Return the settings of a worker on this machine, and the version of the document that they come from.

    A worker that a stack starts (`in_stack`) inherits the environment of the `up` that wrote a document, perhaps an
    older one, so only its credentials are compared. Raises `InvalidSetting` if there is no document, or if this
    machine's environment contradicts it; the message lists all differences.
    """
    stored = in_force(settings, url)
    if stored is None:
        raise InvalidSetting(
            "the database has no settings yet: start `transcription up` on one machine, or run "
            "`transcription settings push` where they are right"
        )
    own_names = () if in_stack else settings.model_fields_set
    differences = contradictions(settings, own_names, stored, has_credentials=has_credentials)
    if differences:
        raise InvalidSetting(_refusal(differences, stored))
    return adopt(settings, stored), stored


def describe(stored: StoredSettings) -> str:
    """Describe this version of the settings and its origin in one sentence."""
    return (
        f"version {stored.version} ({stored.digest[:12]}), by {stored.pushed_by} on {stored.host} "
        f"at {stored.pushed_at:%Y-%m-%d %H:%M:%S %Z}"
    )


def _refusal(differences: Iterable[Difference], stored: StoredSettings) -> str:
    lines = [f"this machine's settings contradict the database's, {describe(stored)}:"]
    lines += [f"  {difference}" for difference in differences]
    lines += ["take them out here, or make them everyone's with `transcription settings push`"]
    return "\n".join(lines)


def document_variable(name: str) -> str:
    """Return the environment variable that sets a value of a document."""
    return variable_name(name) if name in Settings.model_fields else name


def _named_files(settings: Settings) -> dict[str, Path]:
    """Return the settings whose value is the path of a model, with that path. Names of known models are not paths."""
    files = {}
    is_path = "/" in settings.model or settings.model.endswith(".pt")
    if is_path and shared_files.parse_reference(settings.model) is None:
        files["model"] = _existing(settings.model)
    if Path(settings.embedder).is_absolute():
        files["embedder"] = _existing(settings.embedder)
    return files


def _existing(path: str) -> Path:
    absolute = Path(path).expanduser().absolute()
    if not absolute.exists():
        raise UnknownModel(f"{absolute} does not exist")
    return absolute


def _vocabulary(path: Path) -> dict[str, str]:
    read_vocabulary(path)  # Report a mistake in the vocabulary now, instead of in every run.
    return {"name": path.name, "text": path.read_text(encoding="utf-8-sig")}


def _write_vocabulary(vocabulary: Mapping[str, str], home: Path) -> str:
    """Write a vocabulary's content below the home, in a folder named by its hash."""
    text, suffix = vocabulary["text"].encode(), Path(vocabulary["name"]).suffix.lower()
    path = home / "shared" / hashlib.sha256(text).hexdigest() / f"vocabulary{suffix}"
    if not path.exists():
        with replacing(path) as file:
            file.write(text)
    return str(path)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # The user id has no name, as in some containers.
        return "unknown"
