// Corrects a recording in its page: turns, speakers, history, and find and replace.

import { CorrectionsClient } from "./corrections_client.js";
import { showHistory } from "./history.js";
import { isShortcut } from "./keys.js";
import { bindReplacing } from "./replacing.js";
import { nextToCheck } from "./to_check.js";
import { TurnEditor } from "./turn_editor.js";
import { positionOf } from "./word_times.js";

const article = document.getElementById("recording");
const turnsElement = document.getElementById("turns");
const state = document.getElementById("saved-state");
// If more words than this change, the page is reloaded.
const MANY_WORDS = 20_000;

class CorrectionPage {
  constructor() {
    this.client = new CorrectionsClient(article.dataset.recording, Number(article.dataset.version));
    this.editor = null;
    // The time of the place to check that is being edited.
    this.checked = 0;
  }

  showStatus(text) {
    if (state.textContent !== text) state.textContent = text;
    state.classList.remove("error");
  }

  saved() {
    this.showStatus("Saved");
    turnsElement.dispatchEvent(new Event("corrected"));
  }

  fail(error) {
    state.textContent = `Not saved: ${error.message}`;
    state.classList.add("error");
  }

  async edit(turn) {
    if (this.editor?.turn === turn && this.editor.form) return;
    if (!(await this.close())) return;
    this.editor = new TurnEditor(this, turn);
    try {
      await this.editor.open();
    } catch (error) {
      this.fail(error);
    }
  }

  async close() {
    const editor = this.editor;
    if (!editor) return true;
    if (!(await editor.close())) return false;
    this.editor = null;
    return true;
  }

  async editNext(turn) {
    const stop = Number(turn.dataset.stop);
    if (!(await this.close())) return;
    const next = this.turnElements().find(other => Number(other.dataset.first) >= stop);
    if (next) await this.edit(next);
  }

  // Saves, then goes to the next place to check: a doubtful word is selected in the editor of its turn.
  async editNextToCheck() {
    const media = document.getElementById("media");
    const after = this.editor?.form ? this.checked : (media?.currentTime ?? this.checked);
    if (!(await this.close())) return;
    const next = nextToCheck(turnsElement, after);
    if (!next) return this.showStatus("There are no more places to check");
    if (media) media.currentTime = next.seconds;
    next.element.scrollIntoView({ block: "center" });
    const turn = next.element.closest(".turn");
    if (turn) {
      await this.edit(turn);
      this.editor?.select(positionOf(turn, next.element), next.element.textContent);
    } else this.showStatus(next.element.textContent.replace(/\s+/g, " ").trim());
    this.checked = next.seconds;
  }

  // Closes the editor after a change that split or joined its turn.
  async leave(result) {
    this.editor.form?.remove();
    this.editor = null;
    if (result.turns.length) await this.refresh(result.turns[0].first, result.turns.at(-1).stop);
  }

  // Any turn may have a new speaker: reload the page, then show in which recordings the voice was named.
  namedVoice({ named, likely }) {
    const titles = recordings => recordings.map(({ title, recording }) => title ?? recording).join(", ");
    const others = named.length ? ` and in ${titles(named)}` : "";
    const candidates = likely.length ? `. Likely the same voice: ${titles(likely)}` : "";
    sessionStorage.setItem("status", `Named here${others}${candidates}`);
    location.reload();
  }

  turnElements() {
    return [...turnsElement.querySelectorAll(".turn")];
  }

  // Fetches and replaces the turns that hold the words `first` up to `stop`.
  async refresh(first, stop) {
    if (stop - first > MANY_WORDS) return location.reload();
    const response = await fetch(`/recordings/${article.dataset.recording}/turns?first=${first}&stop=${stop}`);
    if (!response.ok) return this.fail(new Error("the page could not be updated; reload it"));
    const fetched = new DOMParser().parseFromString(await response.text(), "text/html");
    const turns = [...fetched.querySelectorAll(".turn")];
    if (!turns.length) return;
    const [low, high] = [Number(turns[0].dataset.first), Number(turns.at(-1).dataset.stop)];
    const old = this.turnElements().filter(turn => turn.dataset.first < high && turn.dataset.stop > low);
    old[0]?.before(...turns);
    for (const turn of old) turn.remove();
    turnsElement.dispatchEvent(new Event("turnschanged"));
  }

  // Returns the index of the machine's word at a character of the text; null after the last one.
  async wordAt(first, stop, character) {
    const words = await this.#words(first, stop);
    return words.find(word => word.until > character)?.first ?? null;
  }

  // Returns the range of the machine's words between two characters of the text; empty if there are none.
  async wordsBetween(first, stop, from, until) {
    const words = await this.#words(first, stop);
    const selected = words.filter(word => word.until > from && word.from < until);
    return selected.length ? { first: selected[0].first, stop: selected.at(-1).stop } : {};
  }

  async #words(first, stop) {
    const { turns } = await this.client.passages(first, stop);
    let position = 0;
    return turns.flatMap(turn => turn.passages ?? []).map(passage => {
      const from = position + (passage.glued || position === 0 ? 0 : 1);
      position = passage.text ? from + passage.text.length : position;
      return { first: passage.first, stop: passage.stop, from, until: position };
    });
  }
}

function start() {
  const page = new CorrectionPage();
  const name = document.getElementById("corrector");
  name.value = page.client.who;
  name.addEventListener("change", () => (page.client.who = name.value));
  document.getElementById("correcting").hidden = false;
  const status = sessionStorage.getItem("status");
  sessionStorage.removeItem("status");
  if (status) page.showStatus(status);
  turnsElement.classList.add("correctable");

  turnsElement.addEventListener("dblclick", event => {
    const turn = event.target.closest(".turn:not(.editing)");
    if (turn) page.edit(turn);
  });
  turnsElement.addEventListener("click", event => {
    const button = event.target.closest("button.edit");
    if (button) page.edit(button.closest(".turn"));
  });
  document.addEventListener("keydown", event => {
    if (event.key === "F8" && !document.querySelector("dialog[open]")) {
      event.preventDefault();
      return page.editNextToCheck();
    }
    if (event.key.toLowerCase() !== "e" || !isShortcut(event)) return;
    const turn = turnsElement.querySelector(".turn.current") ?? turnsElement.querySelector(".turn");
    if (!turn) return;
    event.preventDefault();
    page.edit(turn);
    // Before the player, for which F8 is a key too.
  }, { capture: true });
  document.getElementById("edit-next").addEventListener("click", () => page.editNextToCheck());
  window.addEventListener("beforeunload", event => {
    if (page.editor?.form && page.editor.field.value !== page.editor.saved) event.preventDefault();
  });
  document.getElementById("show-history").addEventListener("click", () => showHistory(page));
  bindReplacing(page);
}

if (turnsElement && state) start();
