"""The page of a ten-hour recording in Chromium: first text, scrolling, correcting, and memory.

    python -m benchmarks.long_page --words 100000

The server runs as in a stack, in a process of its own; the recording is synthetic. Times are of the CPU: of the
server's process, and of the main thread of the page, from Chromium's trace. Unlike times by the clock, they hardly
depend on what else is running. A task of more than 50 ms makes a page feel slow
(https://web.dev/articles/optimize-long-tasks).
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from playwright import sync_api as playwright

from benchmarks.arguments import argument_parser
from transcription_dagster.database.connection import open_database, upgrade_database
from transcription_dagster.model import Word
from transcription_dagster.settings import Settings
from transcription_dagster.stack.postgres import embedded_postgres
from transcription_dagster.store.object_store import ObjectStore
from transcription_dagster.transcripts.reading import SignedEdit
from transcription_dagster_tests.web.chromium import CHROMIUM
from transcription_dagster_tests.web.reading_room.conftest import Library

#: 10,000 words an hour, in turns of about a minute.
SECONDS_PER_WORD, WORDS_PER_TURN = 0.36, 60
LONG_TASK = 0.05
MEGABYTE = 1e6


@dataclass(frozen=True)
class Server:
    """The web server's process, which serves a page at `url`."""

    url: str
    process: psutil.Process

    def worked(self) -> float:
        """Return the CPU seconds used so far."""
        times = self.process.cpu_times()
        return times.user + times.system


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--words", type=int, default=100_000)
    parser.add_argument("--trace", type=Path, help="keep the last trace in this file")
    options = parser.parse_args()
    name = str(uuid.uuid4())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(embedded_postgres(Settings(home=folder)))
        upgrade_database(url)
        _fill(url, folder, name, options.words)
        server = stack.enter_context(_serving(url, folder))
        print(f"memory of the server, idle: {server.process.memory_full_info().uss / MEGABYTE:.0f} MB")
        _answers(server, name)
        _in_browser(server, name, options.trace)
        print(f"memory of the server, afterwards: {server.process.memory_full_info().uss / MEGABYTE:.0f} MB")


def _fill(url: str, folder: Path, name: str, count: int) -> None:
    engine, store = open_database(url), ObjectStore((folder / "store").as_uri())
    words = _words(count)
    edits = [SignedEdit(at, at, words[at].text, "Quillonite", "mishearing", "Claude") for at in range(25, count, 50)]
    Library(None, engine, store, folder).add(name, "Ten hours", words, edits=edits)  # type: ignore[arg-type] - no site
    seconds = int(words[-1].end)
    store.put_bytes(f"{name}/peaks.bin", random.Random(2).randbytes(20 * seconds).translate(bytes(range(128)) * 2))
    engine.dispose()


def _words(count: int) -> list[Word]:
    """Return sentences of invented words by two speakers; 1 in 30 words is doubtful."""
    chance = random.Random(1)
    known = ["".join(chance.choices("aeioubcdfglmnprst", k=chance.randint(2, 9))) for _ in range(8000)]
    shares = [1 / (rank + 10) for rank in range(len(known))]
    words: list[Word] = []
    for at, text in enumerate(chance.choices(known, shares, k=count)):
        start = at * SECONDS_PER_WORD
        ends = at % 12 == 11
        spoken = f"{text.title() if at % 12 == 0 else text}{'.' if ends else ''}"
        confidence = 0.3 if chance.random() < 1 / 30 else 0.95
        speaker = f"spk_{at // WORDS_PER_TURN % 2}"
        words.append(Word(spoken, start, start + 0.3, confidence=confidence, speaker=speaker))
    return words


@contextmanager
def _serving(url: str, folder: Path) -> Iterator[Server]:
    home = folder / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    workspace = folder / "workspace.yaml"
    workspace.write_text("load_from: []\n", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as transcriber:
        port = transcriber.getsockname()[1]
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "TRANSCRIPTION_HOME": str(folder),
        "TRANSCRIPTION_DATABASE_URL": url,
        "TRANSCRIPTION_STORE": (folder / "store").as_uri(),
        "TRANSCRIPTION_EMBEDDER": "none",
    }
    place = ["--host", "127.0.0.1", "--port", str(port), "--workspace", str(workspace)]
    process = subprocess.Popen([sys.executable, "-m", "transcription_dagster.web.server", *place], env=environment)
    try:
        address = f"http://127.0.0.1:{port}"
        _until(lambda: _is_up(address))
        yield Server(address, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(30)


def _is_up(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health", trust_env=False).is_success
    except httpx.TransportError:
        return False


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        if time.monotonic() > deadline:
            raise SystemExit("the server does not answer")
        time.sleep(0.2)


def _answers(server: Server, name: str) -> None:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=120) as client:
        client.get("/recordings")
        for label, query in {"changes": "", "corrected": "?view=corrected"}.items():
            for time_of in ("first", "again"):
                began, worked = time.perf_counter(), server.worked()
                with client.stream("GET", f"/recordings/{name}{query}") as response:
                    parts = response.iter_bytes()
                    next(part for part in parts if b'class="turn' in part)
                    first, first_worked = time.perf_counter() - began, server.worked() - worked
                    for _ in parts:
                        pass
                print(
                    f"{label}, {time_of:16} first text {first_worked:5.2f} s of CPU ({first:.2f} s by the clock), "
                    f"all {server.worked() - worked:5.2f} s"
                )


def _in_browser(server: Server, name: str, trace: Path | None) -> None:
    with playwright.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        address = f"{server.url}/recordings/{name}"
        steps: dict[str, Callable[[playwright.Page], object]] = {
            "open": lambda page: page.goto(address, wait_until="load"),
            "scroll": _scroll,
            "jump": _jump,
            "open to correct": lambda page: page.goto(f"{address}?view=corrected", wait_until="load"),
            "scroll while correcting": _scroll,
            "edit a turn": lambda page: _edit(page, 0.5),
            "type and save": _type,
            "done": lambda page: _press(page, "close"),
            "join": _join,
            "undo": _undo,
            "rename everywhere": _rename,
        }
        for label, step in steps.items():
            worked = server.worked()
            tasks = _traced(browser, page, step, trace)
            long = [round(1000 * each) for each in tasks if each > LONG_TASK]
            print(
                f"{label:24} server {server.worked() - worked:5.2f} s, page {sum(tasks):5.2f} s, "
                f"longest task {1000 * max(tasks):4.0f} ms, long ones: {long or 'none'}",
                flush=True,
            )
        print(json.dumps(_memory(browser, page)))
        browser.close()


def _traced(
    browser: playwright.Browser, page: playwright.Page, step: Callable[[playwright.Page], object], kept: Path | None
) -> Sequence[float]:
    """Return the CPU seconds of each task of the page's main thread during a step."""
    browser.start_tracing(page=page, categories=["devtools.timeline", "disabled-by-default-devtools.timeline"])
    step(page)
    page.wait_for_timeout(500)
    data = browser.stop_tracing()
    if kept:
        kept.write_bytes(data)
    events = json.loads(data)["traceEvents"]
    main = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    return [
        event.get("tdur", event["dur"]) / 1e6
        for event in events
        if event["name"] == "RunTask" and event["ph"] == "X" and (event["pid"], event["tid"]) in main
    ] or [0.0]


# Elements are found by selectors, because searching by role or visibility would lay out the whole page.


def _scroll(page: playwright.Page) -> None:
    page.mouse.move(400, 600)
    for _ in range(60):
        page.mouse.wheel(0, 1500)
        page.wait_for_timeout(16)


def _jump(page: playwright.Page) -> None:
    page.evaluate("{ const turns = document.querySelectorAll('.turn'); turns[turns.length >> 1].scrollIntoView(); }")
    page.keyboard.press("End")


def _edit(page: playwright.Page, share: float) -> None:
    """Open the turn at this share of the text."""
    number = int(share * page.locator(".turn").count())
    page.evaluate("number => document.querySelectorAll('.turn')[number].scrollIntoView({ block: 'center' })", number)
    page.locator(f".turn >> nth={number} >> .edit").click()
    page.locator(".turn-editor textarea").wait_for()


def _type(page: playwright.Page) -> None:
    page.keyboard.press("Home")
    page.keyboard.type("Words that were really said, ", delay=30)
    page.locator("#saved-state", has_text="Saved").wait_for()


def _press(page: playwright.Page, button: str) -> None:
    page.locator(f".turn-editor button[value={button}]").click()
    page.locator(".turn-editor").wait_for(state="detached")


def _join(page: playwright.Page) -> None:
    _edit(page, 0.6)
    _press(page, "join")


def _undo(page: playwright.Page) -> None:
    page.evaluate("document.getElementById('show-history').click()")
    page.locator("#history li").first.wait_for()
    page.evaluate("[...document.querySelectorAll('#history > ol button')].find(button => !button.hidden).click()")
    page.locator("#history .undone").first.wait_for()
    page.keyboard.press("Escape")
    page.locator("#history").wait_for(state="hidden")


def _rename(page: playwright.Page) -> None:
    _edit(page, 0.4)
    page.locator(".turn-editor input[name=speaker]").fill("Ada")
    page.locator(".turn-editor button[value=everywhere]").click()
    page.locator(".turn-editor").wait_for(state="detached")


def _memory(browser: playwright.Browser, page: playwright.Page) -> dict[str, float]:
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    renderers = [psutil.Process(each["id"]) for each in processes if each["type"] == "renderer"]
    largest = max(renderers, key=lambda process: process.memory_info().rss)
    own = page.context.new_cdp_session(page)
    own.send("Performance.enable")
    metrics = {each["name"]: each["value"] for each in own.send("Performance.getMetrics")["metrics"]}
    memory = largest.memory_full_info()
    return {
        "renderer_uss_mb": memory.uss / MEGABYTE,
        "renderer_rss_mb": memory.rss / MEGABYTE,
        "heap_mb": metrics["JSHeapUsedSize"] / MEGABYTE,
        "nodes": metrics["Nodes"],
    }


if __name__ == "__main__":
    main()
