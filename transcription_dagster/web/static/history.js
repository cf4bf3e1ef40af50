// The history of corrections: who changed what, undo, and corrections lost in a new transcription.

import { clock } from "./word_times.js";

const dialog = document.getElementById("history");

export async function showHistory(page) {
  if (!(await page.close())) return;
  await fill(page);
  if (!dialog.open) dialog.showModal();
}

async function fill(page) {
  const history = await page.client.history();
  page.client.version = history.version;
  const list = dialog.querySelector(":scope > ol");
  list.replaceChildren(...merged(history.changes).map(change => item(page, change)));
  dialog.querySelector(".none").hidden = history.changes.length > 0;
  dialog.querySelector(".lost").hidden = history.lost.length === 0;
  dialog.querySelector(".lost ol").replaceChildren(...history.lost.map(change => item(page, change)));
}

// Returns the changes, newest first, with edits that one person made at one place without a pause as one.
function merged(changes) {
  const result = [];
  for (const change of changes) {
    const later = result.at(-1);
    const same = later && later.kind === "text" && change.kind === "text" && later.who === change.who
      && later.first === change.first && later.stop === change.stop && later.undone === change.undone
      && new Date(later.when) - new Date(change.when) < 60_000;
    if (same) later.old = change.old;
    else result.push({ ...change });
  }
  return result;
}

function item(page, change) {
  const element = document.getElementById("history-item").content.cloneNode(true).firstElementChild;
  element.classList.toggle("undone", change.undone);
  element.dataset.version = change.version;
  const when = element.querySelector(".when");
  when.textContent = clock(change.start);
  when.href = `?view=corrected&t=${change.start.toFixed(2)}`;
  element.querySelector(".kind").textContent = NAMES[change.kind] ?? change.kind;
  element.querySelector("del").textContent = change.old || change.heard;
  element.querySelector("ins").textContent = change.new;
  const day = new Date(change.when).toLocaleString();
  element.querySelector("small").textContent = `${change.who}, ${day}${change.undone ? ", undone" : ""}`;
  const button = element.querySelector("button");
  button.hidden = !change.can_undo;
  button.textContent = change.lost ? "Dismiss" : "Undo";
  button.addEventListener("click", () => undo(page, change));
  return element;
}

const NAMES = {
  text: "Text", unintelligible: "Unintelligible", restore: "Original restored", speaker: "Speaker",
  split: "New turn", join: "Turn joined", undo: "Undone",
};

async function undo(page, change) {
  try {
    const result = await page.client.correct({ kind: "undo", undoes: change.version });
    page.saved();
    if (result.turns.length) await page.refresh(result.turns[0].first, result.turns.at(-1).stop);
  } catch (error) {
    page.fail(error);
  }
  await fill(page);
  // The pressed button is gone: return the focus to its change.
  dialog.querySelector(`[data-version="${change.version}"] .when`)?.focus();
}
