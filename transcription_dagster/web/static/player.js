// The player of a recording: it highlights the spoken word, and seeks to where the user clicks in text or waveform.

import { bindKeys } from "./keys.js";
import { startPlaying } from "./playing.js";
import { quotedParts, writtenQuote } from "./quoting.js";
import { keepPlace, keepRate, lastRate, placeOf } from "./resume.js";
import { nextToCheck } from "./to_check.js";
import { Waveform } from "./waveform.js";
import { clock, lastNotAfter, rangeOf, wordAt, wordsOf } from "./word_times.js";

const SKIP_SECONDS = 3;
// A seek can land slightly before the requested time.
const EARLY_SECONDS = 0.02;

const media = document.getElementById("media");
const article = document.getElementById("recording");
const recording = article.dataset.recording;
const turnsElement = document.getElementById("turns");
const unplayable = document.getElementById("unplayable");

function seek(seconds) {
  media.currentTime = Math.max(0, seconds);
}

function toggle() {
  if (media.paused) startPlaying(media);
  else media.pause();
}

function changeRate(step) {
  const select = document.getElementById("rate");
  const index = Math.min(Math.max(select.selectedIndex + step, 0), select.options.length - 1);
  select.selectedIndex = index;
  media.playbackRate = Number(select.value);
  keepRate(select.value);
}

// Highlights the current word without changing the page, so that no layout is needed.
class Follower {
  constructor() {
    this.turns = turnsElement ? [...turnsElement.querySelectorAll(".turn")] : [];
    this.starts = this.turns.map(turn => Number(turn.dataset.start));
    this.current = null;
    this.word = -1;
    this.highlight = "highlights" in CSS ? new Highlight() : null;
    if (this.highlight) CSS.highlights.set("spoken", this.highlight);
  }

  // Collects the turns again after some were replaced.
  refresh() {
    this.turns = [...turnsElement.querySelectorAll(".turn")];
    this.starts = this.turns.map(turn => Number(turn.dataset.start));
    this.current = null;
  }

  turnAt(seconds) {
    return this.turns[lastNotAfter(this.starts, seconds + EARLY_SECONDS)];
  }

  show(seconds, scroll) {
    if (!this.turns.length) return;
    const turn = this.turnAt(seconds);
    const word = lastNotAfter(wordsOf(turn).starts, seconds + EARLY_SECONDS);
    if (turn === this.current && word === this.word) return;
    if (turn !== this.current) {
      this.current?.classList.remove("current");
      turn.classList.add("current");
      if (scroll) turn.scrollIntoView({ block: "nearest", behavior: "auto" });
    }
    this.current = turn;
    this.word = word;
    this.highlight?.clear();
    const range = rangeOf(turn, word);
    if (range) this.highlight?.add(range);
  }
}

function start() {
  const follower = new Follower();
  const controls = document.getElementById("controls");
  const position = document.getElementById("position");
  const play = document.getElementById("play");
  const follow = document.getElementById("follow");
  const stretches = JSON.parse(document.getElementById("stretches")?.textContent ?? "{}");
  media.controls = false;
  controls.hidden = false;
  const waveform = new Waveform(document.getElementById("waveform"), stretches, seek);

  function show() {
    const now = media.currentTime;
    follower.show(now, follow.checked && !media.paused);
    const text = clock(now);
    if (position.textContent !== text) position.textContent = text;
    waveform.showPosition(now, text);
    if (!media.paused) requestAnimationFrame(show);
  }

  function showState() {
    play.setAttribute("aria-label", media.paused ? "Play" : "Pause");
    play.classList.toggle("playing", !media.paused);
    show();
  }

  for (const event of ["play", "pause", "ended"]) media.addEventListener(event, showState);
  for (const event of ["seeking", "loadedmetadata"]) media.addEventListener(event, show);
  media.addEventListener("click", toggle);
  recoverFromExpiredLinks();

  const checkButton = document.getElementById("check");
  const jumpToCheck = () => {
    const next = nextToCheck(turnsElement, media.currentTime);
    if (!next) return announce(checkButton, "No more");
    seek(next.seconds);
    next.element.scrollIntoView({ block: "center" });
    next.element.classList.remove("found");
    requestAnimationFrame(() => next.element.classList.add("found"));
  };
  const actions = {
    toggle,
    back: () => seek(media.currentTime - SKIP_SECONDS),
    forward: () => seek(media.currentTime + SKIP_SECONDS),
    slower: () => changeRate(-1),
    faster: () => changeRate(1),
    toStart: () => seek(0),
    check: jumpToCheck,
    quote: () => copyQuote(follower),
  };
  play.addEventListener("click", toggle);
  document.getElementById("back").addEventListener("click", actions.back);
  document.getElementById("forward").addEventListener("click", actions.forward);
  checkButton?.addEventListener("click", jumpToCheck);
  document.getElementById("rate").addEventListener("change", () => changeRate(0));
  document.getElementById("link").addEventListener("click", copyLink);
  const quote = document.getElementById("quote");
  quote?.addEventListener("click", actions.quote);
  // The selected text stays selected.
  quote?.addEventListener("mousedown", event => event.preventDefault());
  bindKeys(actions);
  turnsElement?.addEventListener("click", goToWord);
  turnsElement?.addEventListener("turnschanged", () => {
    follower.refresh();
    show();
  });
  document.addEventListener("click", followTimeLink);
  window.addEventListener("popstate", () => goTo(addressedTime(), follower));
  resume(follower);
  show();
}

function goToWord(event) {
  if (!getSelection().isCollapsed || event.target.closest("a, button, textarea, input, [contenteditable]")) return;
  const turn = event.target.closest(".turn");
  const caret = document.caretPositionFromPoint?.(event.clientX, event.clientY);
  const index = turn && caret ? wordAt(turn, caret.offsetNode, caret.offset) : null;
  if (index !== null) seek(wordsOf(turn).starts[index]);
}

// A link to a time on this page seeks without reloading it.
function followTimeLink(event) {
  const link = event.target.closest("a.when");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const seconds = Number(new URL(link.href).searchParams.get("t"));
  event.preventDefault();
  history.replaceState(null, "", addressAt(seconds));
  seek(seconds);
  if (!link.closest("#turns")) scrollTo(seconds);
}

function scrollTo(seconds) {
  const turns = [...turnsElement.querySelectorAll(".turn")];
  turns[lastNotAfter(turns.map(turn => Number(turn.dataset.start)), seconds + EARLY_SECONDS)]
    ?.scrollIntoView({ block: "center" });
}

function addressAt(seconds) {
  const url = new URL(location.href);
  url.searchParams.set("t", seconds.toFixed(1));
  url.hash = "";
  return url.href;
}

async function copyLink(event) {
  const button = event.currentTarget;
  const address = addressAt(media.currentTime);
  history.replaceState(null, "", address);
  await copy(address);
  announce(button, "Copied");
}

async function copyQuote(follower) {
  const parts = turnsElement ? quotedParts(turnsElement, follower.current) : [];
  if (!parts.length) return;
  const [title, day] = ["h1", "header time"].map(name => article.querySelector(name).textContent.trim());
  await copy(writtenQuote(parts, `${title}, ${day}`, addressAt(parts[0].seconds)));
  announce(document.getElementById("quote"), "Copied");
}

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // The clipboard is only available over TLS or from localhost; elsewhere, only what is selected can be copied.
  const handler = event => {
    event.preventDefault();
    event.clipboardData.setData("text/plain", text);
  };
  document.addEventListener("copy", handler, { once: true });
  document.execCommand("copy");
}

// Shows a result on a button for a moment, and tells it to screen readers.
function announce(button, text) {
  if (!button) return;
  button.dataset.label ??= button.textContent;
  button.textContent = text;
  const news = document.getElementById("news");
  news.textContent = text;
  setTimeout(() => {
    button.textContent = button.dataset.label;
    news.textContent = "";
  }, 1500);
}

// Starts at the time in the address, or else where this recording was left, at the speed used last.
function resume(follower) {
  const select = document.getElementById("rate");
  select.value = lastRate();
  changeRate(0);
  goTo(addressedTime() || placeOf(recording), follower);
  const keep = () => keepPlace(recording, media.ended ? 0 : media.currentTime);
  media.addEventListener("pause", keep);
  window.addEventListener("pagehide", keep);
}

function addressedTime() {
  return Number(new URLSearchParams(location.search).get("t"));
}

function goTo(seconds, follower) {
  if (!(seconds > 0)) return;
  seek(seconds);
  follower.show(seconds, false);
  if (follower.turns.length) scrollTo(seconds);
}

// A link into a bucket expires after an hour; the server then redirects the same address to a new one. Any other error
// is reported.
function recoverFromExpiredLinks() {
  let recovered = 0;
  const recover = () => {
    if (!media.currentTime || Date.now() - recovered < 60_000) return reportUnplayable();
    recovered = Date.now();
    const { currentTime, paused, playbackRate } = media;
    media.load();
    media.currentTime = currentTime;
    media.playbackRate = playbackRate;
    if (!paused) startPlaying(media);
  };
  media.addEventListener("error", recover);
  media.addEventListener("loadedmetadata", () => unplayable.hidden = true);
  // It may have failed before this script was loaded.
  if (media.error) recover();
}

function reportUnplayable() {
  const reason = media.error.code === MediaError.MEDIA_ERR_NETWORK ? "the connection was lost"
    : media.error.code === MediaError.MEDIA_ERR_DECODE ? "the file is damaged"
    : "the file is missing or unreachable, or this browser does not play its format";
  unplayable.textContent = `This recording cannot be played: ${reason}. Reload the page to try again.`;
  unplayable.hidden = false;
}

if (media) start();
