// The editor of one turn: a text field in its place, saved while typing.

import { Conflict } from "./corrections_client.js";

const PAUSE_MS = 700;

export class TurnEditor {
  // `desk` shows messages and turns, and holds the client.
  constructor(desk, turn) {
    this.desk = desk;
    this.turn = turn;
    this.first = Number(turn.dataset.first);
    this.stop = Number(turn.dataset.stop);
    this.saved = null;
    this.saving = null;
    this.typed = false;
    this.timer = 0;
  }

  async open() {
    const { turns } = await this.desk.client.turns(this.first, this.stop);
    const found = turns.find(each => each.first === this.first && each.stop === this.stop);
    if (!found) return this.desk.refresh(this.first, this.stop);
    this.seen = this.desk.client.version;
    this.saved = found.text;
    const template = document.getElementById("turn-editor").content.cloneNode(true);
    this.form = template.querySelector("form");
    this.field = this.form.querySelector("textarea");
    this.field.value = found.text;
    this.#showSpeaker(found.speaker ?? "");
    this.turn.classList.add("editing");
    this.turn.append(template);
    this.#fit();
    this.field.focus();
    this.field.addEventListener("input", () => this.#typed());
    this.field.addEventListener("keydown", event => this.#key(event));
    this.form.addEventListener("click", event => this.#act(event));
    this.form.addEventListener("submit", event => event.preventDefault());
  }

  // A label such as spk_0 is no name to edit: it is shown as the page shows it.
  #showSpeaker(speaker) {
    const field = this.form.querySelector("input[name=speaker]");
    const shown = [...document.getElementById("speakers").options].find(each => each.value === speaker)?.text;
    if (shown && shown !== speaker) field.placeholder = shown;
    else field.value = speaker;
  }

  // Saves the text and shows the turn again; returns false if that failed.
  async close() {
    if (!this.form) return true;
    if (!(await this.save())) return false;
    this.form.remove();
    this.form = null;
    this.turn.classList.remove("editing");
    await this.desk.refresh(this.first, this.stop);
    return true;
  }

  async save() {
    clearTimeout(this.timer);
    // While a text is on its way, it is open whether what was typed since still has to be saved.
    await this.saving;
    const text = this.field.value;
    if (text !== this.saved) return (this.saving = this.#send({ kind: "text", text }));
    if (this.typed) this.desk.say("Saved");
    return true;
  }

  async #send(wanted) {
    this.desk.say("Saving…");
    try {
      const answer = await this.desk.client.correct({ first: this.first, stop: this.stop, ...wanted });
      if (wanted.kind === "text") this.saved = wanted.text;
      this.form.querySelector(".conflict").hidden = true;
      this.desk.saved();
      return answer;
    } catch (error) {
      if (error instanceof Conflict) this.#showConflict(error, wanted.text ?? this.field.value);
      else this.desk.fail(error);
      return null;
    }
  }

  #typed() {
    this.#fit();
    clearTimeout(this.timer);
    this.typed = true;
    this.desk.say("Not saved yet");
    this.timer = setTimeout(() => this.save(), PAUSE_MS);
  }

  // Only for browsers without `field-sizing`: reading the height forces a layout of the page at every key.
  #fit() {
    if (CSS.supports("field-sizing", "content")) return;
    this.field.style.height = "auto";
    this.field.style.height = `${this.field.scrollHeight + 2}px`;
  }

  #key(event) {
    // Escape and the F-keys still control the player, to listen while correcting.
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.desk.editNext(this.turn);
    }
  }

  async #act(event) {
    const action = event.target.closest("button")?.value;
    if (!action) return;
    if (action === "close") return this.desk.close();
    if (action === "mine") return this.#insist();
    if (action === "theirs") return this.#giveWay();
    if (!(await this.save())) return;
    if (action === "voice") return this.#nameVoice();
    const done = await this.#structural(action);
    if (done) this.desk.leave(done);
  }

  // Changes that replace the turn or move its boundaries.
  async #structural(action) {
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
    this.desk.say("Saving…");
    try {
      const found = await this.desk.client.nameVoice(this.first, this.form.querySelector("input[name=speaker]").value);
      this.desk.namedVoice(found);
    } catch (error) {
      this.desk.fail(error);
    }
  }

  async #split() {
    const place = await this.desk.wordAt(this.first, this.stop, this.field.selectionStart);
    if (place === null || place <= this.first) {
      this.desk.say("Put the cursor before the word that begins the new turn.");
      return null;
    }
    return this.#send({ kind: "split", first: place });
  }

  async #selectedWords() {
    const { selectionStart, selectionEnd } = this.field;
    return selectionStart === selectionEnd
      ? {}
      : this.desk.wordsBetween(this.first, this.stop, selectionStart, selectionEnd);
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
    this.desk.say("Not saved: someone else has changed the same words.");
    box.querySelector("button").focus();
  }

  async #insist() {
    this.desk.client.version = this.theirs.version;
    const [theirs] = this.theirs.turns;
    [this.first, this.stop] = [theirs.first, this.theirs.turns.at(-1).stop];
    if (await this.#send({ kind: "text", text: this.field.value })) this.field.focus();
  }

  #giveWay() {
    this.desk.client.version = this.theirs.version;
    this.saved = this.field.value;
    this.form.querySelector(".conflict").hidden = true;
    this.desk.close();
  }
}
