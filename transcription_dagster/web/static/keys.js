// The keys of the player, as in oTranscribe. F-keys and Escape also work while typing; other keys do not.

const ANYWHERE = { Escape: "toggle", F1: "back", F2: "forward", F3: "slower", F4: "faster", F8: "check" };
const READING = { " ": "toggle", ArrowLeft: "back", ArrowRight: "forward" };
const SINGLE = { k: "toggle", n: "check", c: "quote" };
const OFF = "single keys off";

export function bindKeys(actions) {
  document.addEventListener("keydown", event => {
    if (event.defaultPrevented || event.altKey || event.metaKey) return;
    const name = actionOf(event);
    if (!name) return;
    event.preventDefault();
    actions[name]();
  });
}

// Whether a character is a shortcut here: not while typing, in a dialog or with a modifier key, and not if switched off.
export function isShortcut(event) {
  const isPlain = !event.defaultPrevented && !event.ctrlKey && !event.altKey && !event.metaKey;
  return isPlain && usesSingleKeys() && !isTyping(event.target) && !document.querySelector("dialog[open]");
}

// Speech input and tremors press single keys by mistake, so they can be switched off (WCAG 2.1.4).
export function usesSingleKeys() {
  return localStorage.getItem(OFF) === null;
}

export function keepSingleKeys(isOn) {
  if (isOn) localStorage.removeItem(OFF);
  else localStorage.setItem(OFF, "");
}

function isTyping(target) {
  return target.closest?.("input:not([type=checkbox]), textarea, select") != null;
}

function actionOf(event) {
  // An open dialog handles its own keys, wherever the focus is; Escape closes it.
  if (document.querySelector("dialog[open]")) return null;
  if (event.ctrlKey) return event.key === "0" ? "toStart" : null;
  if (event.key in ANYWHERE) return ANYWHERE[event.key];
  if (isTyping(event.target)) return null;
  // A focused button or link handles its own keys.
  if (event.key === " " && event.target.closest?.("button, a, summary, input")) return null;
  if (event.key in READING) return READING[event.key];
  return isShortcut(event) ? (SINGLE[event.key.toLowerCase()] ?? null) : null;
}
