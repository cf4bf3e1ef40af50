// Plays a moment in the list instead of following its link.

import { startPlaying } from "./playing.js";

let audio = null;
let playing = null;

function stop() {
  playing?.setAttribute("aria-pressed", "false");
  playing = null;
  audio?.pause();
}

document.addEventListener("click", event => {
  const link = event.target.closest("a.play");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (link === playing) return stop();
  stop();
  audio ??= new Audio();
  audio.src = link.dataset.audio;
  audio.currentTime = Number(link.dataset.start);
  audio.onended = stop;
  audio.onerror = () => location.assign(link.href);
  startPlaying(audio);
  link.setAttribute("aria-pressed", "true");
  playing = link;
});

for (const link of document.querySelectorAll("a.play")) {
  link.setAttribute("role", "button");
  link.setAttribute("aria-pressed", "false");
}
