// The history of corrections: who changed what, undo, and corrections lost in a new transcription.

import { clock } from "./word_times.js";

const dialog = document.getElementById("history");

export async function showHistory(desk) {
  if (!(await desk.close())) return;
  await fill(desk);
  if (!dialog.open) dialog.showModal();
}

async function fill(desk) {
  const history = await desk.client.history();
  desk.client.version = history.version;
  const list = dialog.querySelector(":scope > ol");
  list.replaceChildren(...together(history.changes).map(change => item(desk, change)));
  dialog.querySelector(".none").hidden = history.changes.length > 0;
  dialog.querySelector(".lost").hidden = history.lost.length === 0;
  dialog.querySelector(".lost ol").replaceChildren(...history.lost.map(change => item(desk, change)));
}

// Edits of one person at one place without a pause are shown as one change; newest first.
function together(changes) {
  const shown = [];
  for (const change of changes) {
    const later = shown.at(-1);
    const same = later && later.kind === "text" && change.kind === "text" && later.who === change.who
      && later.first === change.first && later.stop === change.stop && later.undone === change.undone
      && new Date(later.when) - new Date(change.when) < 60_000;
    if (same) later.old = change.old;
    else shown.push({ ...change });
  }
  return shown;
}

function item(desk, change) {
  const element = document.getElementById("history-item").content.cloneNode(true).firstElementChild;
  element.classList.toggle("undone", change.undone);
  element.dataset.version = change.version;
  const when = element.querySelector(".when");
  when.textContent = clock(change.start);
  when.href = `?view=corrected&t=${change.start.toFixed(2)}`;
  element.querySelector(".what").textContent = NAMES[change.kind] ?? change.kind;
  element.querySelector("del").textContent = change.old || change.heard;
  element.querySelector("ins").textContent = change.new;
  const day = new Date(change.when).toLocaleString();
  element.querySelector("small").textContent = `${change.who}, ${day}${change.undone ? ", undone" : ""}`;
  const button = element.querySelector("button");
  button.hidden = !change.can_undo;
  button.textContent = change.lost ? "Dismiss" : "Undo";
  button.addEventListener("click", () => undo(desk, change));
  return element;
}

const NAMES = {
  text: "Text", unintelligible: "Unintelligible", restore: "Original restored", speaker: "Speaker",
  split: "New turn", join: "Turn joined", undo: "Undone",
};

async function undo(desk, change) {
  try {
    const answer = await desk.client.correct({ kind: "undo", undoes: change.version });
    desk.saved();
    if (answer.turns.length) await desk.refresh(answer.turns[0].first, answer.turns.at(-1).stop);
  } catch (error) {
    desk.fail(error);
  }
  await fill(desk);
  // The pressed button is gone: the focus stays at its change.
  dialog.querySelector(`[data-version="${change.version}"] .when`)?.focus();
}
