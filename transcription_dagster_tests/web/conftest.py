from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import httpx
import pytest
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext

from transcription_dagster.settings import load_settings
from transcription_dagster.web.app import create_app
from transcription_dagster_tests.stack.small_stack import until

PASSWORD = "planted-secret-password"
#: The database of a site for tests without recordings.
NO_DATABASE = "postgresql://nobody@127.0.0.1:1/none"


@dataclass(frozen=True)
class Site:
    """The running application, and the Dagster instance behind it."""

    url: str
    instance: dg.DagsterInstance

    def client(self, **options: object) -> httpx.Client:
        return httpx.Client(base_url=self.url, trust_env=False, timeout=60, **options)  # type: ignore[arg-type]

    def add_run(self) -> str:
        """Store a run for tests to delete; returns its id."""
        run = dg.DagsterRun(job_name="transcribe_recordings", run_id=dg._core.utils.make_new_run_id())
        self.instance.add_run(run)
        return run.run_id

    def has_run(self, run_id: str) -> bool:
        return self.instance.get_run_by_id(run_id) is not None


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Site]]:
    """Serve the application with the given settings until the end of the session."""
    with ExitStack() as stack:

        def start(*, host: str = "127.0.0.1", **settings: object) -> Site:
            folder: Path = tmp_path_factory.mktemp("dagster")
            instance = stack.enter_context(dg.DagsterInstance.local_temp(str(folder)))
            context = stack.enter_context(WorkspaceProcessContext(instance, workspace_load_target=None, version="1"))
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = listener.getsockname()[1]
            app = create_app(
                context,
                load_settings(**{"home": folder, "database_url": NO_DATABASE, **settings}),
                host=host,
                port=port,
            )
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
            thread.start()
            stack.callback(thread.join, 20)
            stack.callback(setattr, server, "should_exit", True)
            until(lambda: server.started)
            return Site(f"http://127.0.0.1:{port}", instance)

        yield start


@pytest.fixture(scope="session")
def site(serve: Callable[..., Site]) -> Site:
    """The application without a password; it also works behind a proxy."""
    return serve(ui_hosts=("speech.example.org",))


@pytest.fixture(scope="session")
def closed_site(serve: Callable[..., Site]) -> Site:
    """The application with a password."""
    return serve(ui_password=PASSWORD)
