// Quotes of the transcript: the selected text, or the turn being played, with speaker, time and link.

import { clock, textNodes, wordAt, wordsOf } from "./word_times.js";

// The selected parts of turns, each with its speaker, text and time; the whole `current` turn if nothing is selected.
export function quotedParts(turnsElement, current) {
  const selection = getSelection();
  const range = selection.isCollapsed || !selection.rangeCount ? null : selection.getRangeAt(0);
  const turns = range ? [...turnsElement.querySelectorAll(".turn")].filter(turn => range.intersectsNode(turn)) : [];
  const selected = turns.map(turn => quotedPart(turn, range)).filter(part => part.text);
  if (selected.length || !current) return selected;
  return [quotedPart(current, null)].filter(part => part.text);
}

function quotedPart(turn, range) {
  let text = "";
  let seconds = null;
  for (const node of textNodes(turn)) {
    if (range && !range.intersectsNode(node)) continue;
    const start = node === range?.startContainer ? range.startOffset : 0;
    const stop = node === range?.endContainer ? range.endOffset : node.length;
    const said = node.data.slice(start, stop);
    if (seconds === null && said.trim()) {
      seconds = wordsOf(turn).starts[wordAt(turn, node, start + said.length - said.trimStart().length)];
    }
    text += said;
  }
  return { speaker: speakerOf(turn), text: text.replace(/\s+/g, " ").trim(), seconds };
}

// Only the first of a speaker's turns shows the name.
function speakerOf(turn) {
  let row = turn;
  while (row && !row.matches(".turn.new")) row = row.previousElementSibling;
  return row?.querySelector(".speaker")?.textContent.trim() ?? "";
}

// The quote as plain text: what each speaker says, the recording, the time, and the address.
export function writtenQuote(parts, source, address) {
  const lines = parts.map(({ speaker, text }) => (speaker ? `${speaker}: “${text}”` : `“${text}”`));
  return [...lines, `${source}, ${clock(parts[0].seconds)}`, address].join("\n");
}
