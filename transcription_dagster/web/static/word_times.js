// Maps between times, words and places in the page. A turn is plain text; its
// attributes hold the position and the start time of each word (see turns.py).

const decoded = new WeakMap();

// A position as `m:ss`, or as `h:mm:ss` from an hour on.
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const second = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${second}` : `${minutes}:${second}`;
}

function sums(text) {
  let sum = 0;
  return text === "" ? [] : text.split(" ").map(difference => (sum += Number(difference)));
}

// The words of a turn's element: the start of each in the text, and in time (seconds).
export function wordsOf(turn) {
  let words = decoded.get(turn);
  if (!words) {
    const starts = sums(turn.dataset.times).map(centiseconds => centiseconds / 100);
    words = { offsets: sums(turn.dataset.offsets), starts };
    decoded.set(turn, words);
  }
  return words;
}

// The index of the last value that is at most `limit`; 0 if all are greater.
export function lastNotAfter(values, limit) {
  let low = 0;
  let high = values.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (values[middle] <= limit) low = middle;
    else high = middle;
  }
  return low;
}

// The text nodes of a turn that contain its words; struck text contains none.
export function* textNodes(turn) {
  const walker = document.createTreeWalker(turn.querySelector(".text"), NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT,
    node => (node.nodeName === "DEL" ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT));
  while (walker.nextNode()) {
    if (walker.currentNode.nodeType === Node.TEXT_NODE) yield walker.currentNode;
  }
}

// The range of one word of a turn, without the space after it; null if the text does not match the attributes.
export function rangeOf(turn, index) {
  const { offsets } = wordsOf(turn);
  const first = offsets[index];
  const stop = offsets[index + 1] ?? Infinity;
  let position = 0;
  for (const node of textNodes(turn)) {
    if (first < position + node.length) {
      const range = document.createRange();
      const text = node.data.slice(first - position, stop - position);
      range.setStart(node, first - position);
      range.setEnd(node, first - position + text.trimEnd().length);
      return range;
    }
    position += node.length;
  }
  return null;
}

// The position of an element's text in the text of its turn.
export function positionOf(turn, element) {
  let position = 0;
  for (const node of textNodes(turn)) {
    if (element.contains(node)) return position;
    position += node.length;
  }
  return position;
}

// The index of the word at an offset in a node of a turn; null outside its words.
export function wordAt(turn, node, offset) {
  let position = 0;
  for (const textNode of textNodes(turn)) {
    if (textNode === node) return lastNotAfter(wordsOf(turn).offsets, position + offset);
    position += textNode.length;
  }
  return null;
}
