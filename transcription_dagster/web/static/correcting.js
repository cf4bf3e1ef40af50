// Corrects a recording in its page: turns, speakers, history, and find and replace.

import { CorrectionsClient } from "./corrections_client.js";
import { showHistory } from "./history.js";
import { bindReplacing } from "./replacing.js";
import { TurnEditor } from "./turn_editor.js";

const article = document.getElementById("recording");
const turnsElement = document.getElementById("turns");
const state = document.getElementById("saved-state");
// If more words than this change, the page is reloaded.
const MANY_WORDS = 20_000;

class Desk {
  constructor() {
    this.client = new CorrectionsClient(article.dataset.recording, Number(article.dataset.version));
    this.editor = null;
  }

  say(text) {
    if (state.textContent !== text) state.textContent = text;
    state.classList.remove("error");
  }

  saved() {
    this.say("Saved");
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
    const next = this.turnElements().find(each => Number(each.dataset.first) >= stop);
    if (next) await this.edit(next);
  }

  // Leaves the editor after a change that split or joined its turn.
  async leave(answer) {
    this.editor.form?.remove();
    this.editor = null;
    if (answer.turns.length) await this.refresh(answer.turns[0].first, answer.turns.at(-1).stop);
  }

  // Any turn may have a new speaker: reload the page, then show where else the voice was named.
  namedVoice({ named, likely }) {
    const places = list => list.map(each => each.title ?? each.recording).join(", ");
    const also = named.length ? ` and in ${places(named)}` : "";
    const perhaps = likely.length ? `. Likely the same voice: ${places(likely)}` : "";
    sessionStorage.setItem("news", `Named here${also}${perhaps}`);
    location.reload();
  }

  turnElements() {
    return [...turnsElement.querySelectorAll(".turn")];
  }

  // Updates the turns of some words.
  async refresh(first, stop) {
    if (stop - first > MANY_WORDS) return location.reload();
    const response = await fetch(`/recordings/${article.dataset.recording}/turns?first=${first}&stop=${stop}`);
    if (!response.ok) return this.fail(new Error("the page could not be updated; reload it"));
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = [...page.querySelectorAll(".turn")];
    if (!fresh.length) return;
    const [low, high] = [Number(fresh[0].dataset.first), Number(fresh.at(-1).dataset.stop)];
    const old = this.turnElements().filter(turn => turn.dataset.first < high && turn.dataset.stop > low);
    old[0]?.before(...fresh);
    for (const turn of old) turn.remove();
    turnsElement.dispatchEvent(new Event("turnschanged"));
  }

  // Returns the last machine's word that begins at or before a character of the turn's text.
  async wordAt(first, stop, character) {
    const words = await this.#words(first, stop);
    return words.find(word => word.until > character)?.first ?? null;
  }

  async wordsBetween(first, stop, from, until) {
    const words = await this.#words(first, stop);
    const chosen = words.filter(word => word.until > from && word.from < until);
    return chosen.length ? { first: chosen[0].first, stop: chosen.at(-1).stop } : {};
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
  const desk = new Desk();
  const name = document.getElementById("corrector");
  name.value = desk.client.who;
  name.addEventListener("change", () => (desk.client.who = name.value));
  document.getElementById("correcting").hidden = false;
  const news = sessionStorage.getItem("news");
  sessionStorage.removeItem("news");
  if (news) desk.say(news);
  turnsElement.classList.add("correctable");

  turnsElement.addEventListener("dblclick", event => {
    const turn = event.target.closest(".turn:not(.editing)");
    if (turn) desk.edit(turn);
  });
  turnsElement.addEventListener("click", event => {
    const button = event.target.closest("button.edit");
    if (button) desk.edit(button.closest(".turn"));
  });
  document.addEventListener("keydown", event => {
    const typing = event.target.closest("input, textarea, select") || document.querySelector("dialog[open]");
    if (event.key !== "e" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const turn = turnsElement.querySelector(".turn.current") ?? turnsElement.querySelector(".turn");
    if (!turn) return;
    event.preventDefault();
    desk.edit(turn);
  });
  window.addEventListener("beforeunload", event => {
    if (desk.editor?.form && desk.editor.field.value !== desk.editor.saved) event.preventDefault();
  });
  document.getElementById("show-history").addEventListener("click", () => showHistory(desk));
  bindReplacing(desk);
}

if (turnsElement && state) start();
