// The waveform, coloured by speaker. Its peaks come from the server, so nothing is decoded here.

const PEAKS_PER_SECOND = 20;
const FULL_SCALE = 127;
const SPEAKERS = 6;
const KEY_SECONDS = { ArrowLeft: -5, ArrowRight: 5, PageDown: -60, PageUp: 60 };

export class Waveform {
  constructor(canvas, stretches, seek) {
    this.canvas = canvas;
    this.stretches = { duration: 0, speech: [], gaps: [], removed: [], ...stretches };
    this.seek = seek;
    this.peaks = new Int8Array();
    this.picture = null;
    this.position = 0;
    canvas.setAttribute("aria-valuemin", "0");
    canvas.setAttribute("aria-valuemax", String(Math.round(this.duration)));
    canvas.addEventListener("pointerdown", event => this.drag(event));
    canvas.addEventListener("pointermove", event => event.buttons === 1 && this.drag(event));
    canvas.addEventListener("keydown", event => this.key(event));
    new ResizeObserver(() => this.redraw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
    this.load(canvas.dataset.peaks);
  }

  get duration() {
    return this.stretches.duration || this.peaks.length / PEAKS_PER_SECOND || 1;
  }

  async load(address) {
    const response = await fetch(address);
    if (!response.ok) return;
    this.peaks = new Int8Array(await response.arrayBuffer());
    this.redraw();
  }

  drag(event) {
    const box = this.canvas.getBoundingClientRect();
    this.seek((Math.min(Math.max(event.clientX - box.left, 0), box.width) / box.width) * this.duration);
  }

  key(event) {
    const ends = { Home: 0, End: this.duration };
    if (!(event.key in KEY_SECONDS) && !(event.key in ends)) return;
    event.preventDefault();
    event.stopPropagation();
    this.seek(event.key in ends ? ends[event.key] : this.position + KEY_SECONDS[event.key]);
  }

  showPosition(seconds, text) {
    this.position = seconds;
    if (this.canvas.getAttribute("aria-valuetext") !== text) {
      this.canvas.setAttribute("aria-valuenow", String(Math.round(seconds)));
      this.canvas.setAttribute("aria-valuetext", text);
    }
    if (!this.picture) return;
    const context = this.canvas.getContext("2d");
    const x = Math.round((seconds / this.duration) * this.canvas.width);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.drawImage(this.picture, 0, 0);
    context.fillStyle = this.colour("--text");
    context.fillRect(x - devicePixelRatio, 0, 2 * devicePixelRatio, this.canvas.height);
  }

  redraw() {
    const { clientWidth, clientHeight } = this.canvas;
    if (!clientWidth) return;
    this.canvas.width = clientWidth * devicePixelRatio;
    this.canvas.height = clientHeight * devicePixelRatio;
    this.picture = new OffscreenCanvas(this.canvas.width, this.canvas.height);
    this.draw(this.picture.getContext("2d"), this.canvas.width, this.canvas.height);
    this.showPosition(this.position, this.canvas.getAttribute("aria-valuetext"));
  }

  draw(context, width, height) {
    const x = seconds => Math.round((seconds / this.duration) * width);
    for (const [kind, colour] of [["gaps", "--gap"], ["removed", "--removed"]]) {
      context.fillStyle = this.colour(colour);
      for (const [start, end] of this.stretches[kind]) context.fillRect(x(start), 0, Math.max(x(end) - x(start), 2), height);
    }
    const colours = this.coloursByColumn(x, width);
    for (let column = 0; column < width; column++) {
      const bar = Math.max(this.loudest(column, width) * (height - 2), devicePixelRatio);
      context.fillStyle = colours[column];
      context.fillRect(column, (height - bar) / 2, 1, bar);
    }
  }

  coloursByColumn(x, width) {
    const colours = new Array(width).fill(this.colour("--silence"));
    const ofSpeaker = Array.from({ length: SPEAKERS }, (_, number) => this.colour(`--speaker-${number}`));
    for (const [start, end, speaker] of this.stretches.speech) {
      colours.fill(ofSpeaker[speaker % SPEAKERS], x(start), Math.max(x(end), x(start) + 1));
    }
    return colours;
  }

  loudest(column, width) {
    const ofWidth = (this.duration * PEAKS_PER_SECOND) / width;
    const first = Math.floor(column * ofWidth);
    const stop = Math.max(Math.floor((column + 1) * ofWidth), first + 1);
    let loudest = 0;
    for (let index = first; index < stop; index++) loudest = Math.max(loudest, this.peaks[index] ?? 0);
    // The square root keeps quiet speech visible next to loud speech.
    return Math.sqrt(loudest / FULL_SCALE);
  }

  colour(name) {
    return getComputedStyle(this.canvas).getPropertyValue(name).trim();
  }
}
