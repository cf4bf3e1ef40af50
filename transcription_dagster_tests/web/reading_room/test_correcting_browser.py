"""Correcting in a real browser: in place, by two people, undo, names, replacing, and hostile texts."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright import sync_api as playwright

from transcription_dagster.model import Gap
from transcription_dagster_tests.sample_transcripts import spoken
from transcription_dagster_tests.web.chromium import needs_chromium, new_page, serious_violations
from transcription_dagster_tests.web.reading_room.conftest import Library
from transcription_dagster_tests.web.reading_room.test_browser import ATTACK, browser, context, show

__all__ = ["browser", "context"]

pytestmark = [needs_chromium, pytest.mark.slow]


@pytest.fixture
def page(context: playwright.BrowserContext) -> Iterator[playwright.Page]:
    """Provide a page that must raise no error and violate no policy. Chromium itself logs every failed request."""
    with new_page(context) as (page, complaints):
        yield page
    assert [complaint for complaint in complaints if not complaint.startswith("Failed to load resource")] == []


@pytest.fixture
def recording(library: Library) -> str:
    """Provide a recording of two speakers, one of whom says a misheard term."""
    name = str(uuid.uuid4())
    words = spoken("we found quill on ite here and quill on ite there is that so")
    speakers = ["spk_0"] * 11 + ["spk_1"] * 3
    speech = [replace(word, speaker=speaker) for word, speaker in zip(words, speakers, strict=True)]
    library.add(name, "The basin", speech)
    return name


@pytest.fixture
def desk(page: playwright.Page, library: Library, recording: str) -> playwright.Page:
    show(page, library, recording, "?view=corrected")
    page.get_by_label("Your name").fill("Ada")
    page.get_by_label("Your name").blur()
    return page


def edit(page: playwright.Page, number: int = 0) -> playwright.Locator:
    """Open a turn; return its text field."""
    page.locator(".turn").nth(number).get_by_role("button", name="Edit").click()
    field = page.get_by_label("Text of this turn")
    playwright.expect(field).to_be_focused()
    return field


def texts(page: playwright.Page) -> list[str]:
    return [" ".join(text.split()) for text in page.locator(".turn .text").all_text_contents()]


def saved(page: playwright.Page) -> None:
    playwright.expect(page.locator("#saved-state")).to_have_text("Saved")


def test_a_turn_is_corrected_in_place_and_saved_while_typing(
    desk: playwright.Page, library: Library, recording: str
) -> None:
    edit(desk).fill("We found Quillonite here and quill on ite there")
    saved(desk)
    with library.site.client() as program:
        [first, _] = program.get(f"/api/recordings/{recording}/turns").json()["turns"]
    assert first["text"] == "We found Quillonite here and quill on ite there"
    desk.get_by_role("button", name="Done").click()
    playwright.expect(desk.locator(".turn").first).to_contain_text("We found Quillonite here")
    marked = desk.locator(".turn ins").nth(1)
    playwright.expect(marked).to_have_text("Quillonite", use_inner_text=True)
    assert "original: quill on ite" in (marked.get_attribute("title") or "")
    desk.reload()
    assert texts(desk) == ["We found Quillonite here and quill on ite there", "is that so"]


def test_text_reverted_during_a_save_is_saved_again(desk: playwright.Page, library: Library, recording: str) -> None:
    field = edit(desk)
    text = field.input_value()

    def revert(route: playwright.Route) -> None:
        field.fill(text)
        desk.get_by_role("button", name="Done").click()
        route.continue_()

    desk.route("**/corrections", revert, times=1)
    field.fill(f"{text} today")
    playwright.expect(desk.locator(".turn-editor")).to_have_count(0)
    with library.site.client() as program:
        assert program.get(f"/api/recordings/{recording}/turns").json()["turns"][0]["text"] == text


def test_text_is_saved_with_the_next_key_after_logging_in_again_or_when_the_server_is_back(
    desk: playwright.Page,
) -> None:
    field = edit(desk)
    state = desk.locator("#saved-state")
    desk.route("**/corrections", lambda route: route.fulfill(status=401, json={"error": "no password"}), times=1)
    field.press_sequentially("a")
    playwright.expect(state).to_contain_text("Not saved: you are logged out. Log in again in another tab")
    desk.route("**/corrections", lambda route: route.abort(), times=1)
    field.press_sequentially("b")
    playwright.expect(state).to_contain_text("Not saved: the server cannot be reached.")
    field.press_sequentially("c")
    saved(desk)


def test_a_label_of_a_voice_is_no_name_to_edit(desk: playwright.Page) -> None:
    edit(desk)
    playwright.expect(desk.get_by_label("Speaker")).to_have_value("")
    playwright.expect(desk.get_by_label("Speaker")).to_have_attribute("placeholder", "Speaker 1")


def test_a_second_person_sees_both_texts_and_decides(desk: playwright.Page, library: Library, recording: str) -> None:
    field = edit(desk)
    with library.site.client() as other:
        change = {"kind": "text", "first": 0, "stop": 11, "text": "we found gold here and quill on ite there"}
        answer = other.post(f"/api/recordings/{recording}/corrections", json={**change, "seen": 0, "who": "Bob"})
        assert answer.status_code == 200
    field.fill("we found Quillonite here and quill on ite there")
    conflict = desk.locator(".conflict")
    playwright.expect(conflict).to_be_visible()
    playwright.expect(conflict).to_contain_text("Bob has changed the same words")
    playwright.expect(conflict.locator(".their-text")).to_have_text("we found gold here and quill on ite there")
    playwright.expect(conflict.locator(".my-text")).to_have_text("we found Quillonite here and quill on ite there")
    conflict.get_by_role("button", name="Replace it with mine").click()
    saved(desk)
    desk.get_by_role("button", name="Done").click()
    playwright.expect(desk.locator(".turn").first).to_contain_text("we found Quillonite here")


#: Whether a word is selected in the field that has the focus.
SELECTED = """word => {
    const { value, selectionStart, selectionEnd } = document.activeElement;
    return value?.slice(selectionStart, selectionEnd) === word;
}"""


def test_doubtful_words_are_corrected_one_after_the_other_by_keyboard_alone(
    page: playwright.Page, library: Library
) -> None:
    name = str(uuid.uuid4())
    said = [replace(word, speaker="Ada") for word in spoken("we found quill in the basin it was raw")]
    said[2], said[5] = replace(said[2], confidence=0.2), replace(said[5], confidence=0.1)
    said[8] = replace(said[8], confidence=0.3, speaker="Bob")
    library.add(name, "The basin", said, gaps=(Gap(4.5, 5.5),))
    show(page, library, name, "?view=corrected")
    field = page.get_by_label("Text of this turn")
    for word, correction in (("quill", "quartz"), ("basin", "valley"), ("raw", "rare")):
        page.keyboard.press("F8")
        page.wait_for_function(SELECTED, arg=word)
        playwright.expect(field).to_be_focused()
        page.keyboard.type(correction)
    page.keyboard.press("F8")
    playwright.expect(page.locator("#saved-state")).to_have_text("0:04 Speech without recognised words, 1.0 s")
    playwright.expect(field).to_have_count(0)
    page.keyboard.press("F8")
    playwright.expect(page.locator("#saved-state")).to_have_text("There are no more places to check")
    assert texts(page) == ["we found quartz in the valley it was", "rare"]


def test_a_change_is_undone_from_the_history(desk: playwright.Page) -> None:
    edit(desk).fill("we found gold here and quill on ite there")
    saved(desk)
    desk.get_by_role("button", name="History").click()
    history = desk.get_by_role("dialog", name="History")
    playwright.expect(history).to_contain_text("Ada")
    history.get_by_role("button", name="Undo", exact=True).first.click()
    playwright.expect(history.locator("li.undone")).to_have_count(1)
    desk.keyboard.press("Escape")
    playwright.expect(history).to_be_hidden()
    assert desk.evaluate("document.getElementById('media').paused")
    playwright.expect(desk.locator(".turn").first).to_contain_text("we found quill on ite here")


def test_a_speaker_is_named_here_and_everywhere(desk: playwright.Page) -> None:
    edit(desk, 1)
    desk.get_by_label("Speaker").fill("Bob")
    desk.get_by_role("button", name="Everywhere").click()
    playwright.expect(desk.locator(".turn .speaker").nth(1)).to_have_text("Bob")
    edit(desk, 0)
    desk.get_by_label("Speaker").fill("Ada")
    desk.get_by_role("button", name="Here", exact=True).click()
    playwright.expect(desk.locator(".turn .speaker").first).to_have_text("Ada")


def test_turns_are_split_at_the_cursor_and_joined(desk: playwright.Page) -> None:
    field = edit(desk)
    field.evaluate("field => field.setSelectionRange(27, 27)")
    desk.get_by_role("button", name="Split here").click()
    playwright.expect(desk.locator(".turn")).to_have_count(3)
    assert texts(desk)[:2] == ["we found quill on ite here", "and quill on ite there"]
    edit(desk, 1)
    desk.get_by_role("button", name="Join with previous turn").click()
    playwright.expect(desk.locator(".turn")).to_have_count(2)


def test_a_selection_is_marked_unintelligible_and_restored(desk: playwright.Page) -> None:
    edit(desk).evaluate("field => field.setSelectionRange(9, 21)")
    desk.get_by_role("button", name="Unintelligible").click()
    playwright.expect(desk.locator(".turn").first).to_contain_text("we found [unintelligible] here")
    edit(desk)
    desk.get_by_role("button", name="Restore original").click()
    playwright.expect(desk.locator(".turn").first).to_contain_text("we found quill on ite here")


def test_a_replacement_is_previewed_before_it_is_applied(desk: playwright.Page) -> None:
    desk.get_by_role("button", name="Find and replace").click()
    dialog = desk.get_by_role("dialog", name="Find and replace")
    dialog.get_by_label("Find").fill("quill on ite")
    dialog.get_by_label("Replace with").fill("Quillonite")
    dialog.get_by_role("button", name="Preview").click()
    playwright.expect(dialog.get_by_role("status")).to_have_text("2 matches in 1 turn:")
    playwright.expect(dialog.locator("li")).to_contain_text(
        "we found quill on ite Quillonite here and quill on ite Quillonite there"
    )
    assert "Quillonite" not in texts(desk)[0]
    dialog.get_by_role("button", name="Replace all").click()
    playwright.expect(desk.locator(".turn").first).to_contain_text("we found Quillonite here and Quillonite there")


@pytest.mark.parametrize("opened", ["page", "editor", "History", "Find and replace", "Keyboard shortcuts"])
def test_axe_finds_nothing_serious_while_correcting(
    page: playwright.Page, library: Library, recording: str, opened: str
) -> None:
    with library.site.client() as other:
        change = {"kind": "text", "first": 0, "stop": 11, "text": "we found gold here and quill on ite there"}
        other.post(f"/api/recordings/{recording}/corrections", json={**change, "seen": 0, "who": "Bob"})
    show(page, library, recording, "?view=corrected")
    if opened == "editor":
        edit(page)
    elif opened != "page":
        page.get_by_role("button", name=opened).click()
        playwright.expect(page.get_by_role("dialog", name=opened)).to_be_visible()
    assert serious_violations(page) == []


@pytest.mark.parametrize("name", ["History", "Find and replace"])
def test_escape_closes_a_dialog_and_starts_no_sound(desk: playwright.Page, name: str) -> None:
    desk.get_by_role("button", name=name).press("Enter")
    dialog = desk.get_by_role("dialog", name=name)
    playwright.expect(dialog).to_be_visible()
    desk.keyboard.press("Escape")
    playwright.expect(dialog).to_be_hidden()
    assert desk.evaluate("document.getElementById('media').paused")


def test_a_turn_is_corrected_by_keyboard_alone(desk: playwright.Page) -> None:
    desk.keyboard.press("e")
    field = desk.get_by_label("Text of this turn")
    playwright.expect(field).to_be_focused()
    desk.keyboard.press("Home")
    desk.keyboard.type("Yes, ")
    saved(desk)
    desk.keyboard.press("Control+Enter")
    playwright.expect(desk.get_by_label("Text of this turn")).to_have_value("is that so")
    for _ in range(6):
        desk.keyboard.press("Tab")
    playwright.expect(desk.get_by_label("Speaker")).to_be_focused()
    desk.keyboard.type("Bob")
    desk.keyboard.press("Tab")
    desk.keyboard.press("Enter")
    playwright.expect(desk.locator(".turn .speaker").nth(1)).to_have_text("Bob")
    assert texts(desk)[0] == "Yes, we found quill on ite here and quill on ite there"


def test_hostile_words_and_names_stay_text(desk: playwright.Page) -> None:
    field = edit(desk)
    field.fill(f"we found {ATTACK} here")
    saved(desk)
    desk.get_by_label("Speaker").fill(ATTACK)
    desk.get_by_role("button", name="Here", exact=True).click()
    playwright.expect(desk.locator(".turn .speaker").first).to_have_text(ATTACK)
    desk.get_by_role("button", name="History").click()
    playwright.expect(desk.get_by_role("dialog", name="History")).to_contain_text(ATTACK)
    desk.reload()
    assert "owned" not in desk.title()
    assert desk.locator("img").count() == 0
