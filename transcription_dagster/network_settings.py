"""Settings for sources and the web server; `settings.py` contains the others."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode


def split_list(value: object, separator: str) -> object:
    """Split a comma-separated variable into its values; a value that is not a text is returned unchanged."""
    return tuple(part.strip() for part in value.split(separator) if part.strip()) if isinstance(value, str) else value


class SourceSettings(BaseSettings):
    """Watched sources, and the sources that may be fetched."""

    # --- sources
    source_directory: Path | None = Field(default=None, description="Folder to watch for new recordings.")
    source_s3: str | None = Field(
        default=None, description="Bucket and prefix to watch for new recordings (s3://bucket/prefix)."
    )
    source_sqs: str | None = Field(
        default=None, description="URL of the SQS queue on which S3 announces new recordings (ObjectCreated events)."
    )
    source_folders: Annotated[tuple[Path, ...] | None, NoDecode] = Field(
        default=None, description="Folders that may contain local recordings, separated by colons; if unset, all."
    )
    source_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Hosts from which recordings may be downloaded over https, in addition to the media library's, "
        "separated by commas; write http://host:port for a host without TLS.",
    )
    ib_url_template: str | None = Field(
        default=None, description="URL of a recording in the media library (IB), with {uuid} in place of its UUID."
    )
    ib_list_url: str | None = Field(
        default=None, description="URL of the media library's listing; if unset, the library is not watched."
    )
    ib_token_variable: str = Field(
        default="IB_TOKEN", description="Name of the environment variable that holds the media library's bearer token."
    )
    ib_allow_private: bool = Field(
        default=False, description="Allow HTTP sources and webhooks at loopback and private addresses."
    )
    max_source_gb: float = Field(default=20.0, gt=0, description="Maximum size of a source, in gigabytes (10^9 bytes).")
    source_stall_seconds: float = Field(
        default=60.0, gt=0, description="Seconds without data after which a download is resumed."
    )
    source_time_limit_seconds: float = Field(
        default=14_400.0, gt=0, description="Maximum duration of a download, in seconds."
    )
    requests_per_tick: int = Field(
        default=50, ge=1, description="Maximum number of runs that a sensor requests per tick."
    )
    max_waiting_runs: int = Field(default=200, ge=1, description="Number of queued runs at which sensors pause.")

    @field_validator("source_folders", mode="before")
    @classmethod
    def _split_folders(cls, value: object) -> object:
        return split_list(value, os.pathsep)

    @field_validator("source_hosts", mode="before")
    @classmethod
    def _split_source_hosts(cls, value: object) -> object:
        return split_list(value, ",")

    @field_validator("ib_url_template")
    @classmethod
    def _names_a_recording(cls, value: str | None) -> str | None:
        if value is not None and "{uuid}" not in value:
            raise ValueError("the template has no {uuid} in it")
        return value

    @property
    def ib_token(self) -> SecretStr | None:
        """Return the media library's bearer token, read from the environment on each call; None if it is not set."""
        token = os.environ.get(self.ib_token_variable)
        return SecretStr(token) if token else None


class WebSettings(BaseSettings):
    """Address and login of the web server, and the hosts that webhooks may call."""

    # --- the web server
    host: str = Field(default="127.0.0.1", description="Address that the web server listens on.")
    port: int = Field(default=3000, ge=0, le=65535, description="Port of the web server; 0 means any free one.")
    ui_password: SecretStr | None = Field(
        default=None,
        min_length=1,
        description="Password of the web server; required unless it listens on a loopback address.",
    )
    ui_trust_proxy: bool = Field(
        default=False,
        description="Trust a proxy in front of the web server, which requires a login and cannot be bypassed.",
    )
    ui_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Other host names by which browsers reach the web server, separated by commas; write name:port "
        "for a proxy on another port.",
    )

    webhook_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Hosts that webhooks may call over https when a submitted recording is done, separated by "
        "commas; write http://host:port for a host without TLS.",
    )
    webhook_secret: SecretStr | None = Field(
        default=None, min_length=16, description="Secret that signs webhooks; if unset, there are no webhooks."
    )

    @field_validator("ui_hosts", "webhook_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        return split_list(value, ",")

    @field_validator("ui_hosts")
    @classmethod
    def _are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not re.fullmatch(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?", name, re.ASCII):
                raise ValueError(f"{name!r} is not of the form name or name:port")
        return value
