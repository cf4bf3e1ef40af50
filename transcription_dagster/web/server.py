"""`python -m transcription_dagster.web.server`: the web server, as a stack starts it. Requires DAGSTER_HOME."""

from __future__ import annotations

import argparse
import gc
from pathlib import Path

from transcription_dagster.quick_imports import quick_imports
from transcription_dagster.settings import load_settings

#: The defaults of `dagster-webserver`: milliseconds, seconds, connections.
_STATEMENT_TIMEOUT, _POOL_RECYCLE, _POOL_OVERFLOW = 15_000, 3600, 20


def main() -> None:
    """Serve until a signal arrives."""
    parser = argparse.ArgumentParser(prog="transcription_dagster.web.server", description=__doc__)
    parser.add_argument("--host", required=True, help="address to bind to")
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--workspace", required=True, type=Path, help="workspace.yaml that names the code server")
    parser.add_argument("--log-level", default="info", help="of Dagster's messages")
    arguments = parser.parse_args()
    with quick_imports():
        import uvicorn
        from dagster import DagsterInstance
        from dagster._core.workspace.context import WorkspaceProcessContext
        from dagster._core.workspace.load_target import WorkspaceFileTarget
        from dagster._utils.interrupts import setup_interrupt_handlers
        from dagster._utils.log import configure_loggers
        from dagster_webserver.version import __version__

        from transcription_dagster.web.app import create_app
        from transcription_dagster.web.bounded_requests import BoundedRequests
    _collect_garbage_rarely()
    configure_loggers(log_level=arguments.log_level.upper())
    setup_interrupt_handlers()
    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(_STATEMENT_TIMEOUT, _POOL_RECYCLE, _POOL_OVERFLOW)
        target = WorkspaceFileTarget(paths=[str(arguments.workspace)])
        with WorkspaceProcessContext(instance, workspace_load_target=target, version=__version__) as context:
            app = create_app(context, load_settings(), host=arguments.host, port=arguments.port)
            uvicorn.run(
                app,
                host=arguments.host,
                port=arguments.port,
                http=BoundedRequests,
                log_level="warning",
                server_header=False,
            )


def _collect_garbage_rarely() -> None:
    """Collect garbage less often than by default (700, 10, 10).

    Reading a recording of ten hours creates a million objects, none of them garbage. With the default, half of the time
    is spent on scanning them repeatedly.
    """
    gc.set_threshold(20_000, 20, 20)


if __name__ == "__main__":
    main()
