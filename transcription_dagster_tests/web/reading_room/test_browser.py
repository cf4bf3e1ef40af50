"""The reading room in a real browser: its scripts, and use with a keyboard and without scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright import sync_api as playwright

from transcription_dagster.database import vocabulary
from transcription_dagster.model import Gap, RemovedSpeech, Term, Word
from transcription_dagster.transcripts.reading import SignedEdit
from transcription_dagster_tests.sample_transcripts import spoken
from transcription_dagster_tests.web.chromium import CHROMIUM, needs_chromium, new_page, serious_violations
from transcription_dagster_tests.web.reading_room.conftest import Library

pytestmark = [needs_chromium, pytest.mark.slow]

TALK = "00000000-0000-4000-8000-000000000011"
HOSTILE = "00000000-0000-4000-8000-000000000012"
LONG = "00000000-0000-4000-8000-000000000013"
VERBOSE = "00000000-0000-4000-8000-000000000014"
ATTACK = "<img src=x onerror=document.title='owned'>"
#: The word that is highlighted as spoken.
SPOKEN = "() => [...(CSS.highlights.get('spoken') ?? [])].map(String).join()"
TIME = "() => document.getElementById('media').currentTime"


@pytest.fixture(scope="module")
def archive(library: Library) -> Library:
    first = spoken("The peer has moved. We will repair the bridge in spring.")
    words = [Word(word.text, word.start, word.end, word.confidence, speaker="Ines") for word in first]
    words[8] = Word("bridge", 4.0, 4.4, 0.2, speaker="Ines")
    answer = [Word(text, 9.0 + n / 2, 9.4 + n / 2, speaker="Tomasz") for n, text in enumerate(["When,", "Ines?"])]
    library.add(
        TALK,
        "Repairs",
        [*words, *answer],
        edits=[SignedEdit(1, 1, "peer", "pier", "mishearing", "claude")],
        gaps=(Gap(6.0, 7.5),),
        removed=(RemovedSpeech(7.6, 8.5, "Thank you.", "no speech here"),),
    )
    library.add(
        HOSTILE, ATTACK, [Word(text, n / 2, n / 2 + 0.4, speaker=ATTACK) for n, text in enumerate(ATTACK.split())]
    )
    return library


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def context(browser: playwright.Browser) -> Iterator[playwright.BrowserContext]:
    """Provide the context of all pages: a new one takes Chromium twice the CPU time of a page."""
    with browser.new_context() as context:
        yield context


@pytest.fixture
def page(context: playwright.BrowserContext) -> Iterator[playwright.Page]:
    """Provide a page that must raise no error and violate no policy."""
    with new_page(context) as (page, complaints):
        yield page
    assert complaints == []


def show(page: playwright.Page, library: Library, recording: str = TALK, query: str = "") -> None:
    page.goto(f"{library.site.url}/recordings/{recording}{query}")
    page.wait_for_function("() => document.getElementById('media').readyState >= 1")


def seek(page: playwright.Page, seconds: float) -> None:
    page.evaluate("seconds => { document.getElementById('media').currentTime = seconds; }", seconds)


def wait_until_spoken(page: playwright.Page, word: str) -> None:
    page.wait_for_function(f"word => ({SPOKEN})() === word", arg=word)


def test_the_current_word_is_highlighted_without_a_new_element(page: playwright.Page, archive: Library):
    show(page, archive)
    before = page.evaluate("document.querySelectorAll('*').length")
    for seconds, word in ((0.6, "pier"), (1.1, "has"), (4.1, "bridge"), (9.6, "Ines?")):
        seek(page, seconds)
        wait_until_spoken(page, word)
    assert page.evaluate("document.querySelectorAll('*').length") == before


def test_the_text_follows_the_playback(page: playwright.Page, archive: Library):
    show(page, archive, query="?t=3.6")
    wait_until_spoken(page, "the")
    page.get_by_role("button", name="Play").click()
    wait_until_spoken(page, "bridge")
    wait_until_spoken(page, "in")
    page.get_by_role("button", name="Pause").click()
    assert page.evaluate("document.getElementById('media').paused")


def test_a_click_on_a_word_seeks_to_it(page: playwright.Page, archive: Library):
    show(page, archive)
    # Returns the position of each word on the screen.
    box = page.evaluate(
        """async () => {
            const { rangeOf } = await import("/recordings/static/word_times.js");
            const box = rangeOf(document.getElementById("turn-0"), 6).getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        }"""
    )
    page.mouse.click(*box)
    wait_until_spoken(page, "repair")
    assert page.evaluate(TIME) == pytest.approx(3.0, abs=0.05)


def test_keyboard_shortcuts_control_the_player(page: playwright.Page, archive: Library):
    show(page, archive)
    seek(page, 5.0)
    page.keyboard.press("F1")
    assert page.evaluate(TIME) == pytest.approx(2.0, abs=0.05)
    page.keyboard.press("F2")
    assert page.evaluate(TIME) == pytest.approx(5.0, abs=0.05)
    page.keyboard.press("F4")
    assert page.evaluate("document.getElementById('media').playbackRate") == 1.25
    for _ in range(5):
        page.keyboard.press("F3")
    assert page.evaluate("document.getElementById('media').playbackRate") == 0.5
    page.keyboard.press("Control+0")
    assert page.evaluate(TIME) == 0
    page.keyboard.press("Escape")
    page.wait_for_function("() => !document.getElementById('media').paused")
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.getElementById('media').paused")
    # A pause before playing has begun is no error of the page.
    page.evaluate("for (let i = 0; i < 2; i++) document.getElementById('play').click()")
    page.wait_for_function("() => document.getElementById('media').paused")


def test_places_to_check_are_visited_in_order(page: playwright.Page, archive: Library):
    show(page, archive)
    stops = []
    for _ in range(4):
        page.keyboard.press("n")
        stops.append(round(page.evaluate(TIME), 1))
    # The edit, the doubtful word, the speech without words, the removed text.
    assert stops == [0.5, 4.0, 6.0, 7.6]


def test_a_question_mark_shows_the_shortcuts_and_single_letters_can_be_switched_off(
    page: playwright.Page, archive: Library
):
    show(page, archive)
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    playwright.expect(dialog).to_be_visible()
    dialog.get_by_label("Single letters and ? are shortcuts").uncheck()
    page.keyboard.press("Escape")
    playwright.expect(dialog).to_be_hidden()
    for key in ("?", "n"):
        page.keyboard.press(key)
    playwright.expect(dialog).to_be_hidden()
    assert page.evaluate(TIME) == 0
    page.keyboard.press("F8")
    assert page.evaluate(TIME) == pytest.approx(0.5, abs=0.05)
    page.get_by_role("button", name="Keyboard shortcuts").click()
    dialog.get_by_label("Single letters and ? are shortcuts").check()
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    assert page.evaluate(TIME) == pytest.approx(4.0, abs=0.05)


#: Selects from "repair" in the first turn to "When," in the second.
SELECTION = """() => {
    const [first, second] = [...document.querySelectorAll(".turn .text")].map(text => text.lastChild);
    const before = document.querySelector("#turn-0 ins").nextSibling;
    getSelection().setBaseAndExtent(before, before.data.indexOf("repair"), second, "When,".length);
}"""
#: What was copied, with and without the browser's clipboard.
COPIED = "() => window.copied"
REMEMBER = {
    # about:blank, which every page opens first, has no clipboard.
    "the clipboard": "if (navigator.clipboard) navigator.clipboard.writeText = async text => (window.copied = text);",
    "no clipboard": """Object.defineProperty(navigator, "clipboard", { value: undefined });
        addEventListener("copy", event => { window.copied = event.clipboardData.getData("text/plain"); });""",
}


@pytest.mark.parametrize("means", REMEMBER)
def test_a_quote_is_copied_with_its_speakers_time_and_link(page: playwright.Page, archive: Library, means: str):
    page.add_init_script(REMEMBER[means])
    show(page, archive, query="?t=9.6")
    page.keyboard.press("c")
    address = f"{archive.site.url}/recordings/{TALK}?t="
    page.wait_for_function(COPIED)
    assert page.evaluate(COPIED) == f"Tomasz: “When, Ines?”\nRepairs, 4 May 2026, 0:09\n{address}9.0"
    page.evaluate(SELECTION)
    page.get_by_role("button", name="Copy quote").click()
    page.wait_for_function("() => window.copied.startsWith('Ines')")
    assert page.evaluate(COPIED).splitlines() == [
        "Ines: “repair the bridge in spring.”",
        "Tomasz: “When,”",
        "Repairs, 4 May 2026, 0:03",
        f"{address}3.0",
    ]


def test_a_printed_transcript_is_black_on_white_and_holds_nothing_but_the_text(
    browser: playwright.Browser, archive: Library
):
    with browser.new_context(color_scheme="dark") as context:
        page = context.new_page()
        show(page, archive, query="?view=raw")
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        for hidden in (".player", "aside", "nav", ".between.removed"):
            playwright.expect(page.locator(hidden).first).to_be_hidden()
        playwright.expect(page.get_by_role("heading", level=1)).to_be_visible()
        width = "element => element.getBoundingClientRect().width"
        assert page.locator("#turn-0").evaluate(width) == page.locator("main").evaluate(width)


def test_a_link_leads_to_its_moment(page: playwright.Page, archive: Library):
    show(page, archive, query="?t=9.6")
    wait_until_spoken(page, "Ines?")
    playwright.expect(page.locator(".turn.current .text")).to_have_text("When, Ines?")


def test_playback_resumes_where_the_recording_was_left_at_the_same_speed(page: playwright.Page, archive: Library):
    show(page, archive)
    page.keyboard.press("F4")
    seek(page, 4.1)
    page.get_by_role("link", name="Original", exact=True).click()
    wait_until_spoken(page, "bridge")
    assert page.evaluate("document.getElementById('media').playbackRate") == 1.25
    show(page, archive, query="?t=9.6")
    wait_until_spoken(page, "Ines?")


def test_every_version_of_the_text_is_shown(page: playwright.Page, archive: Library):
    show(page, archive)
    first = page.locator("#turn-0 .text")
    playwright.expect(first.locator("del")).to_have_text("peer")
    playwright.expect(first.locator("ins")).to_have_attribute("title", "mishearing, by claude")
    page.get_by_role("link", name="Refined").click()
    playwright.expect(first).to_have_text("The pier has moved. We will repair the bridge in spring.")
    page.get_by_role("link", name="Original", exact=True).click()
    playwright.expect(first).to_have_text("The peer has moved. We will repair the bridge in spring.")
    seek(page, 1.1)
    wait_until_spoken(page, "has")


def test_a_sound_that_cannot_be_loaded_is_reported(context: playwright.BrowserContext, archive: Library):
    with new_page(context) as (page, _complaints):
        page.route("**/media", lambda route: route.fulfill(status=404))
        page.goto(f"{archive.site.url}/recordings/{TALK}")
        report = page.get_by_role("alert")
        playwright.expect(report).to_contain_text("cannot be played: the file is missing")
        page.unroute("**/media")
        page.evaluate("document.getElementById('media').load()")
        playwright.expect(report).to_be_hidden()


def test_a_moment_is_played_in_the_list(page: playwright.Page, archive: Library):
    page.goto(f"{archive.site.url}/recordings?q=spring")
    playwright.expect(page.locator("mark")).to_have_text("spring")
    button = page.get_by_role("button", name="Play Repairs from 0:00")
    with page.expect_response(lambda answer: answer.url.endswith("/media")) as sound:
        button.click()
    assert sound.value.status in (200, 206)
    playwright.expect(button).to_have_attribute("aria-pressed", "true")
    button.click()
    playwright.expect(button).to_have_attribute("aria-pressed", "false")


def test_hostile_text_stays_text(page: playwright.Page, archive: Library):
    show(page, archive, HOSTILE)
    playwright.expect(page.get_by_role("heading", level=1)).to_have_text(ATTACK)
    playwright.expect(page.locator(".speaker").first).to_have_text(ATTACK)
    page.goto(f"{archive.site.url}/recordings")
    playwright.expect(page.get_by_role("link", name=ATTACK)).to_be_visible()
    assert "owned" not in page.title()


def test_a_document_is_downloaded_under_the_recordings_name(page: playwright.Page, archive: Library):
    show(page, archive)
    with page.expect_download() as download:
        page.get_by_role("link", name="Word document").click()
    assert download.value.suggested_filename == "Repairs transcript.docx"


def test_without_scripts_pages_can_be_read_searched_and_played(browser: playwright.Browser, archive: Library):
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{archive.site.url}/recordings")
        page.get_by_label("Search what was said").fill("spring")
        page.get_by_role("button", name="Search").click()
        page.get_by_role("link", name="Repairs", exact=True).click()
        playwright.expect(page.locator("audio[controls]")).to_be_visible()
        playwright.expect(page.locator("#turn-1")).to_contain_text("When, Ines?")
        playwright.expect(page.locator("#controls")).to_be_hidden()


@pytest.mark.parametrize("path", ["/recordings", "/recordings?q=spring", f"/recordings/{TALK}", "/vocabulary"])
def test_axe_finds_nothing_serious(page: playwright.Page, archive: Library, path: str):
    vocabulary.put(archive.engine, [Term("Quillonite", ("quill on ite",))])
    page.goto(f"{archive.site.url}{path}")
    page.wait_for_load_state("networkidle")
    for folded in page.locator("details > summary").all():
        folded.click()
    assert serious_violations(page) == []


@pytest.mark.parametrize("path", ["", "?q=budget", f"/{VERBOSE}", f"/{VERBOSE}?view=corrected"])
def test_long_titles_and_names_fit_on_a_phone(browser: playwright.Browser, archive: Library, path: str):
    speaker = "The deputy chair of the committee on works and bridges " * 3
    words = [Word(text, n / 2, n / 2 + 0.4, speaker=speaker) for n, text in enumerate(["a", "budget"])]
    archive.add(VERBOSE, f"{'Minutes of the council ' * 30}{'longword' * 60}", words)
    with browser.new_context(viewport={"width": 390, "height": 844}) as context:
        page = context.new_page()
        page.goto(f"{archive.site.url}/recordings{path}")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        heading = page.get_by_role("link" if path in ("", "?q=budget") else "heading", name="Minutes of").first
        box = heading.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= 390
        assert box["height"] < 100


def test_a_page_grows_with_its_turns_and_not_with_its_words(page: playwright.Page, archive: Library):
    words = spoken(" ".join(["Some words are said"] * 2_000 + ["here."]), confidence=0.9)
    archive.add(LONG, "Long", words)
    show(page, archive, LONG)
    assert page.evaluate("document.getElementById('turns').querySelectorAll('*').length") < 100
    seek(page, 100.1)
    wait_until_spoken(page, "Some")
