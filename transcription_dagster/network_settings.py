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
    source_directory: Path | None = Field(default=None, description="Folder that is watched for new recordings.")
    source_s3: str | None = Field(
        default=None, description="Bucket and prefix that are watched for new recordings (s3://bucket/prefix)."
    )
    source_sqs: str | None = Field(
        default=None, description="URL of the SQS queue on which S3 announces new recordings (ObjectCreated events)."
    )
    source_folders: Annotated[tuple[Path, ...] | None, NoDecode] = Field(
        default=None, description="Folders, separated by colons, that local recordings must be in; unset: any."
    )
    source_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Hosts, separated by commas, besides the media library's, that recordings may be fetched from "
        "over https; http://host:port for one without TLS.",
    )
    ib_url_template: str | None = Field(
        default=None, description="URL of a recording in the media library (IB), with {uuid} in it."
    )
    ib_list_url: str | None = Field(default=None, description="URL of the media library's listing; unset: it has none.")
    ib_token_variable: str = Field(
        default="IB_TOKEN", description="Name of the environment variable that holds the media library's bearer token."
    )
    ib_allow_private: bool = Field(default=False, description="Allow HTTP sources at loopback and private addresses.")
    max_source_gb: float = Field(default=20.0, gt=0, description="Larger sources are refused (10^9 bytes).")
    source_stall_seconds: float = Field(
        default=60.0, gt=0, description="Seconds without data after which a download is resumed."
    )
    source_time_limit_seconds: float = Field(
        default=14_400.0, gt=0, description="Limit on the wall time, in seconds, of fetching one source."
    )
    requests_per_tick: int = Field(default=50, ge=1, description="Maximum runs that a sensor requests per tick.")
    max_waiting_runs: int = Field(
        default=200, ge=1, description="Sensors pause while this many runs wait in the queue."
    )

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
    host: str = Field(default="127.0.0.1", description="Address the web server binds to.")
    port: int = Field(default=3000, ge=0, le=65535, description="Port of the web server; 0 takes any free one.")
    ui_password: SecretStr | None = Field(
        default=None,
        min_length=1,
        description="Password of the web server; required if it is bound to anything but loopback.",
    )
    ui_trust_proxy: bool = Field(
        default=False, description="A proxy in front of the web server requires a login and cannot be bypassed."
    )
    ui_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Other names, separated by commas, by which browsers reach the web server; name:port for a proxy "
        "on another port.",
    )

    webhook_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Hosts, separated by commas, that webhooks may call over https when a recording submitted by API "
        "is done; http://host:port for one without TLS.",
    )
    webhook_secret: SecretStr | None = Field(
        default=None, min_length=16, description="Secret that signs webhooks; unset: no webhooks."
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
