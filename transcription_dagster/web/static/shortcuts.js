// The dialog of keyboard shortcuts, which `?` opens, and the switch for shortcuts of a single character.

import { isShortcut, keepSingleKeys, usesSingleKeys } from "./keys.js";

const dialog = document.getElementById("shortcuts");
const button = document.getElementById("show-shortcuts");
const single = document.getElementById("single-keys");

button.hidden = false;
button.addEventListener("click", () => dialog.showModal());
single.checked = usesSingleKeys();
single.addEventListener("change", () => keepSingleKeys(single.checked));
document.addEventListener("keydown", event => {
  if (event.key !== "?" || !isShortcut(event)) return;
  event.preventDefault();
  dialog.showModal();
});
