// Find and replace in the whole recording: first a preview, then the change.

import { clock } from "./word_times.js";

// Characters shown before and after a match.
const SURROUNDINGS = 60;

const dialog = document.getElementById("replacing");

export function bindReplacing(desk) {
  const form = dialog.querySelector("form.replacing");
  const apply = form.querySelector("button[value=apply]");
  const wanted = () => ({
    sought: form.elements.sought.value,
    new: form.elements.replacement.value,
    match_case: form.elements.match_case.checked,
  });

  async function preview() {
    apply.disabled = true;
    try {
      const found = await desk.client.replace(wanted());
      show(found, wanted().new.trim());
      apply.disabled = found.count === 0;
    } catch (error) {
      say(error.message);
    }
  }

  async function replace() {
    try {
      const found = await desk.client.replace({ ...wanted(), apply: true });
      dialog.close();
      if (found.count) location.reload();
    } catch (error) {
      say(error.message);
    }
  }

  document.getElementById("show-replacing").addEventListener("click", async () => {
    if (!(await desk.close())) return;
    dialog.showModal();
    form.elements.sought.focus();
  });
  form.addEventListener("submit", event => {
    event.preventDefault();
    if (event.submitter?.value === "apply") replace();
    else preview();
  });
  form.addEventListener("input", () => (apply.disabled = true));
}

function show(found, replacement) {
  say(found.count ? `${places(found.count)} in ${found.turns} turn${found.turns === 1 ? "" : "s"}:` : "No matches.");
  const items = found.replacements.map(each => {
    const item = document.createElement("li");
    item.dir = "auto";
    const link = element("a", clock(each.start));
    link.className = "when";
    link.href = `?view=corrected&t=${each.start.toFixed(2)}`;
    item.append(link, " ", ...each.parts.flatMap((part, index) => shown(part, index, each.parts.length, replacement)));
    return item;
  });
  dialog.querySelector("ol").replaceChildren(...items);
}

const places = count => `${count} match${count === 1 ? "" : "es"}`;

// A part of a turn's text: every second one is a match, the others are its surroundings.
function shown(part, index, count, replacement) {
  if (index % 2) return [element("del", part), " ", element("ins", replacement)];
  const [isFirst, isLast] = [index === 0, index === count - 1];
  if (part.length <= 2 * SURROUNDINGS) return [part];
  const [after, before] = [isFirst ? "" : part.slice(0, SURROUNDINGS), isLast ? "" : part.slice(-SURROUNDINGS)];
  return [`${after} … ${before}`];
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function say(text) {
  dialog.querySelector("[role=status]").textContent = text;
  dialog.querySelector("ol").replaceChildren();
}
