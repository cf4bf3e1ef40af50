// Find and replace in the whole recording: first a preview, then the change.

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
      show(found);
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

function show(found) {
  say(found.count ? `${found.count} in ${found.turns} turn${found.turns === 1 ? "" : "s"}:` : "No matches.");
  const items = found.replacements.map(each => {
    const item = document.createElement("li");
    const [before, after] = [document.createElement("del"), document.createElement("ins")];
    before.textContent = each.old;
    after.textContent = each.new;
    item.append(before, " ", after);
    return item;
  });
  dialog.querySelector("ol").replaceChildren(...items);
}

function say(text) {
  dialog.querySelector("[role=status]").textContent = text;
  dialog.querySelector("ol").replaceChildren();
}
