// Find and replace in the whole recording: first a preview, then the change.

import { clock } from "./word_times.js";

// Characters shown before and after a match.
const CONTEXT = 60;

const dialog = document.getElementById("replacing");

export function bindReplacing(page) {
  const form = dialog.querySelector("form.replacing");
  const apply = form.querySelector("button[value=apply]");
  const values = () => ({
    sought: form.elements.sought.value,
    new: form.elements.replacement.value,
    match_case: form.elements.match_case.checked,
  });

  async function preview() {
    apply.disabled = true;
    try {
      const result = await page.client.replace(values());
      show(result, values().new.trim());
      apply.disabled = result.count === 0;
    } catch (error) {
      showStatus(error.message);
    }
  }

  async function replace() {
    try {
      const result = await page.client.replace({ ...values(), apply: true });
      dialog.close();
      if (result.count) location.reload();
    } catch (error) {
      showStatus(error.message);
    }
  }

  document.getElementById("show-replacing").addEventListener("click", async () => {
    if (!(await page.close())) return;
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

function show({ count, turns, replacements }, replacement) {
  showStatus(count ? `${matches(count)} in ${turns} turn${turns === 1 ? "" : "s"}:` : "No matches.");
  const items = replacements.map(turn => {
    const item = document.createElement("li");
    item.dir = "auto";
    const link = element("a", clock(turn.start));
    link.className = "when";
    link.href = `?view=corrected&t=${turn.start.toFixed(2)}`;
    item.append(link, " ", ...turn.parts.flatMap((part, index) => shown(part, index, turn.parts.length, replacement)));
    return item;
  });
  dialog.querySelector("ol").replaceChildren(...items);
}

const matches = count => `${count} match${count === 1 ? "" : "es"}`;

// Returns the nodes for a part of a turn's text: every second part is a match, the others are shortened to its context.
function shown(part, index, count, replacement) {
  if (index % 2) return [element("del", part), " ", element("ins", replacement)];
  const [isFirst, isLast] = [index === 0, index === count - 1];
  if (part.length <= 2 * CONTEXT) return [part];
  // Whole words, unless one is longer than that; scripts without spaces have none.
  const after = isFirst ? "" : part.slice(0, CONTEXT).replace(/\s\S*$/u, "");
  const before = isLast ? "" : part.slice(-CONTEXT).replace(/^\S*\s/u, "");
  return [`${after} … ${before}`];
}

function element(name, text) {
  const node = document.createElement(name);
  node.textContent = text;
  return node;
}

function showStatus(text) {
  dialog.querySelector("[role=status]").textContent = text;
  dialog.querySelector("ol").replaceChildren();
}
