// The editor of one turn: a text field in its place, saved while typing.

import { Conflict } from "./corrections_client.js";

const PAUSE_MS = 700;

export class TurnEditor {
  // `page` is the CorrectionPage, which shows messages and turns and has the client.
  constructor(page, turn) {
    this.page = page;
    this.turn = turn;
    this.first = Number(turn.dataset.first);
    this.stop = Number(turn.dataset.stop);
    this.saved = null;
    this.saving = null;
    this.hasInput = false;
    this.timer = 0;
  }

  async open() {
    const { turns } = await this.page.client.turns(this.first, this.stop);
    const turn = turns.find(({ first, stop }) => first === this.first && stop === this.stop);
    if (!turn) return this.page.refresh(this.first, this.stop);
    this.seen = this.page.client.version;
    this.saved = turn.text;
    const template = document.getElementById("turn-editor").content.cloneNode(true);
    this.form = template.querySelector("form");
    this.field = this.form.querySelector("textarea");
    this.field.value = turn.text;
    this.#showSpeaker(turn.speaker ?? "");
    this.turn.classList.add("editing");
    this.turn.append(template);
    this.#fit();
    this.field.focus();
    this.field.addEventListener("input", () => this.#onInput());
    this.field.addEventListener("keydown", event => this.#onKey(event));
    this.form.addEventListener("click", event => this.#onClick(event));
    this.form.addEventListener("submit", event => event.preventDefault());
  }

  // A label such as spk_0 is not a name to edit: it appears as a placeholder, in readable form.
  #showSpeaker(speaker) {
    const field = this.form.querySelector("input[name=speaker]");
    const label = [...document.getElementById("speakers").options].find(option => option.value === speaker)?.text;
    if (label && label !== speaker) field.placeholder = label;
    else field.value = speaker;
  }

  // Selects a piece of the text near a position.
  select(position, text) {
    const start = this.field?.value.indexOf(text, Math.max(0, position - text.length)) ?? -1;
    if (start >= 0) this.field.setSelectionRange(start, start + text.length);
  }

  // Saves the text and shows the turn again; returns false if that failed.
  async close() {
    if (!this.form) return true;
    if (!(await this.save())) return false;
    this.form.remove();
    this.form = null;
    this.turn.classList.remove("editing");
    await this.page.refresh(this.first, this.stop);
    return true;
  }

  async save() {
    clearTimeout(this.timer);
    // Until a request is answered, it is unknown whether the text typed since then has to be saved.
    await this.saving;
    const text = this.field.value;
    if (text !== this.saved) return (this.saving = this.#send({ kind: "text", text }));
    if (this.hasInput) this.page.showStatus("Saved");
    return true;
  }

  async #send(change) {
    this.page.showStatus("Saving…");
    try {
      const result = await this.page.client.correct({ first: this.first, stop: this.stop, ...change });
      if (change.kind === "text") this.saved = change.text;
      this.form.querySelector(".conflict").hidden = true;
      this.page.saved();
      return result;
    } catch (error) {
      if (error instanceof Conflict) this.#showConflict(error, change.text ?? this.field.value);
      else this.page.fail(error);
      return null;
    }
  }

  #onInput() {
    this.#fit();
    clearTimeout(this.timer);
    this.hasInput = true;
    this.page.showStatus("Not saved yet");
    this.timer = setTimeout(() => this.save(), PAUSE_MS);
  }

  // For browsers without `field-sizing` only, because reading the height lays out the page at every key.
  #fit() {
    if (CSS.supports("field-sizing", "content")) return;
    this.field.style.height = "auto";
    this.field.style.height = `${this.field.scrollHeight + 2}px`;
  }

  #onKey(event) {
    // Escape and the F-keys still control the player, to listen while correcting.
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.page.editNext(this.turn);
    }
  }

  async #onClick(event) {
    const action = event.target.closest("button")?.value;
    if (!action) return;
    if (action === "close") return this.page.close();
    if (action === "mine") return this.#keepMine();
    if (action === "theirs") return this.#keepTheirs();
    if (!(await this.save())) return;
    if (action === "voice") return this.#nameVoice();
    const result = await this.#changeTurn(action);
    if (result) this.page.leave(result);
  }

  // Changes that replace the turn or move its boundaries.
  async #changeTurn(action) {
    const name = this.form.querySelector("input[name=speaker]").value;
    switch (action) {
      case "split": return this.#split();
      case "join": return this.#send({ kind: "join" });
      case "unintelligible": return this.#send({ kind: "unintelligible", ...(await this.#selectedWords()) });
      case "restore": return this.#send({ kind: "restore" });
      case "here": return this.#send({ kind: "speaker", speaker: name });
      case "everywhere": return this.#send({ kind: "speaker", speaker: name, everywhere: true });
    }
    return null;
  }

  async #nameVoice() {
    this.page.showStatus("Saving…");
    try {
      const recordings = await this.page.client.nameVoice(this.first, this.form.querySelector("input[name=speaker]").value);
      this.page.namedVoice(recordings);
    } catch (error) {
      this.page.fail(error);
    }
  }

  async #split() {
    const word = await this.page.wordAt(this.first, this.stop, this.field.selectionStart);
    if (word === null || word <= this.first) {
      this.page.showStatus("Put the cursor before the word that begins the new turn.");
      return null;
    }
    return this.#send({ kind: "split", first: word });
  }

  async #selectedWords() {
    const { selectionStart, selectionEnd } = this.field;
    return selectionStart === selectionEnd
      ? {}
      : this.page.wordsBetween(this.first, this.stop, selectionStart, selectionEnd);
  }

  #showConflict(conflict, mine) {
    const box = this.form.querySelector(".conflict");
    const theirs = conflict.theirs.turns.map(turn => turn.text).join("\n");
    const who = conflict.theirs.changes.map(change => change.who).at(-1) ?? "Another person";
    box.querySelector(".who-changed").textContent = who;
    box.querySelector(".their-text").textContent = theirs;
    box.querySelector(".my-text").textContent = mine;
    box.hidden = false;
    this.theirs = conflict.theirs;
    this.page.showStatus("Not saved: another person has changed the same words. Choose a version below.");
    box.querySelector("button").focus();
  }

  async #keepMine() {
    this.page.client.version = this.theirs.version;
    const [theirs] = this.theirs.turns;
    [this.first, this.stop] = [theirs.first, this.theirs.turns.at(-1).stop];
    if (await this.#send({ kind: "text", text: this.field.value })) this.field.focus();
  }

  #keepTheirs() {
    this.page.client.version = this.theirs.version;
    this.saved = this.field.value;
    this.form.querySelector(".conflict").hidden = true;
    this.page.close();
  }
}
