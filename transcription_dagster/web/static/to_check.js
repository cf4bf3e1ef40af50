// Places worth checking: doubtful words, speech without words, removed text; and edits, unless a person made them.

import { textNodes, wordAt, wordsOf } from "./word_times.js";

const isCorrecting = document.getElementById("recording").dataset.view === "corrected";
const PLACES = isCorrecting ? ".doubt, .between" : ".doubt, del, ins, .between";

function secondsOf(place) {
  const turn = place.closest(".turn");
  if (!turn) return Number(place.dataset.start);
  for (const node of textNodes(turn)) {
    // Struck words have no time; use that of the next word.
    const isAt = place.contains(node) || place.compareDocumentPosition(node) & Node.DOCUMENT_POSITION_FOLLOWING;
    if (isAt && node.data.trim()) {
      const index = wordAt(turn, node, node.data.length - node.data.trimStart().length);
      return wordsOf(turn).starts[index];
    }
  }
  return Number(turn.dataset.end);
}

// The first place after a time, as { element, seconds }; null after the last.
export function nextToCheck(turns, now) {
  for (const row of turns?.children ?? []) {
    if (Number(row.dataset.end) < now) continue;
    const places = row.matches(PLACES) ? [row] : row.querySelectorAll(PLACES);
    for (const element of places) {
      const seconds = secondsOf(element);
      if (seconds > now + 0.05) return { element, seconds };
    }
  }
  return null;
}
