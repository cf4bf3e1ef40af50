// Follows the sound through the text: the word that is spoken is highlighted, and a click on a word goes there.

import { lastNotAfter, rangeOf, wordAt, wordsOf } from "./word_times.js";

const media = document.getElementById("media");
const turnsElement = document.getElementById("turns");

if (media && turnsElement) follow();

function follow() {
  const turns = [...turnsElement.querySelectorAll(".turn")];
  const starts = turns.map(turn => Number(turn.dataset.start));
  const spoken = "highlights" in CSS ? new Highlight() : null;
  if (spoken) CSS.highlights.set("spoken", spoken);
  let current = null;

  function show() {
    if (!turns.length) return;
    const turn = turns[lastNotAfter(starts, media.currentTime + 0.02)];
    if (turn !== current) {
      current?.classList.remove("current");
      turn.classList.add("current");
      current = turn;
    }
    if (spoken) {
      spoken.clear();
      const range = rangeOf(turn, lastNotAfter(wordsOf(turn).starts, media.currentTime + 0.02));
      if (range) spoken.add(range);
    }
    if (!media.paused) requestAnimationFrame(show);
  }

  media.addEventListener("play", show);
  media.addEventListener("seeked", show);

  turnsElement.addEventListener("click", event => {
    if (!getSelection().isCollapsed) return;
    const turn = event.target.closest(".turn");
    const caret = document.caretPositionFromPoint?.(event.clientX, event.clientY);
    const index = turn && caret ? wordAt(turn, caret.offsetNode, caret.offset) : null;
    if (index !== null) media.currentTime = wordsOf(turn).starts[index];
  });

  const wanted = Number(new URLSearchParams(location.search).get("t"));
  if (wanted > 0) {
    media.currentTime = wanted;
    turns[lastNotAfter(starts, wanted)]?.scrollIntoView({ block: "center" });
  }
}
