// Starts playing an element. To be interrupted by a pause, or by loading again, is no error; that a source cannot be
// played is reported by the element's event `error`.
export function startPlaying(media) {
  return media.play().catch(error => {
    if (!["AbortError", "NotSupportedError"].includes(error.name)) throw error;
  });
}
