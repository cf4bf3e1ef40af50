// Remembers the speed of playback, and the position at which each recording was left, in this browser.

const MOST_RECORDINGS = 200;
const PLACES = "places";
const RATE = "rate";

function places() {
  try {
    return new Map(JSON.parse(localStorage.getItem(PLACES) ?? "[]"));
  } catch {
    return new Map();
  }
}

export function placeOf(recording) {
  return Number(places().get(recording)) || 0;
}

export function keepPlace(recording, seconds) {
  const saved = places();
  saved.delete(recording);
  if (seconds > 0) saved.set(recording, Number(seconds.toFixed(1)));
  localStorage.setItem(PLACES, JSON.stringify([...saved].slice(-MOST_RECORDINGS)));
}

export function lastRate() {
  return localStorage.getItem(RATE) ?? "1";
}

export function keepRate(rate) {
  localStorage.setItem(RATE, rate);
}
