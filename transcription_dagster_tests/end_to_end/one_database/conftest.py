"""A stack on a database of its own, which other homes and machines reach too.

The database is given with a password in its URL, the home has an awkward name, and the environment holds secrets.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import pytest

from transcription_dagster.stack.home import runtime_folder
from transcription_dagster_tests.faults import NO_EMBEDDINGS
from transcription_dagster_tests.postgres import empty_database
from transcription_dagster_tests.system import System, running_system

#: Planted secrets, which must not appear anywhere.
SECRETS = {
    "ANTHROPIC_API_KEY": "sk-ant-planted-4c1d7e",
    "AWS_SECRET_ACCESS_KEY": "planted-aws-9b2f60",
    "AWS_ACCESS_KEY_ID": "AKIAPLANTED77A1",
    "IB_TOKEN": "planted-bearer-58e3c2",
}
PASSWORD = "planted-password-d0a91f"

HOME = "a long name with 100 % 'quotes' that is too long for the address of a socket"


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    home = tmp_path_factory.mktemp("home") / HOME
    settings = {
        **NO_EMBEDDINGS,
        "refinement": "off",
        "max_recording_hours": "0.5",
        # As an address, which every home has from the database.
        "store": (home / "store").as_uri(),
    }
    with empty_database() as url, pytest.MonkeyPatch.context() as patch:
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        with running_system(home, executors=1, run_workers=1, database_url=with_password(url), **settings) as system:
            yield system
    shutil.rmtree(runtime_folder(home))


def with_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.username}:{PASSWORD}@{parts.netloc.rpartition('@')[2]}"))
