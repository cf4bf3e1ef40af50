// The keys of the player, as in oTranscribe. F-keys and Escape also work while typing; letters do not.

const ANYWHERE = { Escape: "toggle", F1: "back", F2: "forward", F3: "slower", F4: "faster" };
const READING = { " ": "toggle", k: "toggle", ArrowLeft: "back", ArrowRight: "forward", n: "doubtful", N: "doubtful" };

function types(target) {
  return target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable=true]");
}

export function bindKeys(actions) {
  document.addEventListener("keydown", event => {
    if (event.defaultPrevented || event.altKey || event.metaKey) return;
    const name = actionOf(event);
    if (!name) return;
    event.preventDefault();
    actions[name]();
  });
}

function actionOf(event) {
  // An open dialog handles its own keys, wherever the focus is; Escape closes it.
  if (document.querySelector("dialog[open]")) return null;
  if (event.ctrlKey) return event.key === "0" ? "toStart" : null;
  if (event.key in ANYWHERE) return ANYWHERE[event.key];
  if (types(event.target)) return null;
  // A focused button or link handles its own keys.
  if (event.key === " " && event.target.closest?.("button, a, summary, input")) return null;
  return READING[event.key] ?? null;
}
