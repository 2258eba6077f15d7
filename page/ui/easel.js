// A grid of pixels to draw on, by mouse, finger or keyboard, of which only the rows above a line count.

import { blank, paint } from './pixels.js';

const SIDE = 336;
const PEN = { 1: 0.55, 2: 1.15, 0: 1.6 };
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** How much of a pixel a round pen covers that went from one place to another. */
function cover(x, y, [ax, ay], [bx, by], radius) {
  const [dx, dy] = [bx - ax, by - ay];
  const along = dx || dy ? Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy))) : 0;
  const distance = Math.hypot(x - ax - along * dx, y - ay - along * dy);
  return Math.max(0, Math.min(1, radius + 0.5 - distance));
}

export class Easel {
  #canvas;
  #told;
  #changed;
  #cursor = [0, 0];
  #last = null;
  values = new Float32Array(0);
  dims = [0, 0, 0];
  rows = 0;
  binary = false;
  pen = 2;
  colour = [1, 1, 1];

  /** `changed` is called after a stroke or a toggled pixel; `told` hears where the keyboard's cursor is. */
  constructor(canvas, changed, told) {
    this.#canvas = canvas;
    this.#changed = changed;
    this.#told = told;
    canvas.onpointerdown = (event) => this.#down(event);
    canvas.onpointermove = (event) => this.#move(event);
    canvas.onpointerup = canvas.onpointercancel = () => this.#up();
    canvas.onkeydown = (event) => this.#key(event);
    canvas.onfocus = canvas.onblur = () => this.draw();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
  }

  /** A grid for images of a run. What is drawn stays where the size is the same. True where it is another. */
  suit(dims, binary) {
    this.binary = binary;
    if (String(dims) === String(this.dims)) return false;
    this.dims = dims;
    this.values = new Float32Array(dims[0] * dims[1] * dims[2]);
    this.rows = Math.max(1, Math.floor(dims[0] / 2));
    this.#cursor = [Math.floor(dims[1] / 2), Math.floor(this.rows / 2)];
    return true;
  }

  /** Which pixels are given: those of the rows above the line. */
  kept() {
    const [height, width] = this.dims;
    return new Uint8Array(height * width).fill(1, 0, this.rows * width);
  }

  /** The values of those pixels, 0 elsewhere. */
  given() {
    const [, width, channels] = this.dims;
    return this.values.slice().fill(0, this.rows * width * channels);
  }

  clear() {
    this.values.fill(0);
    this.draw();
  }

  /** A line from one pixel's middle to another's. */
  line(from, to) {
    const [height, width] = this.dims;
    const radius = PEN[this.pen];
    const reach = radius + 1;
    const between = (a, b, end) => [Math.max(0, Math.floor(Math.min(a, b) - reach)), Math.min(end - 1, Math.ceil(Math.max(a, b) + reach))];
    const [left, right] = between(from[0], to[0], width);
    const [top, bottom] = between(from[1], to[1], Math.min(height, this.rows));
    for (let y = top; y <= bottom; y++) for (let x = left; x <= right; x++) this.#ink(x, y, cover(x, y, from, to, radius));
  }

  #ink(x, y, covered) {
    const channels = this.dims[2];
    // A soft edge would be a level that binary models have never seen, and a mixed colour.
    const ink = this.binary || channels === 3 ? Math.round(covered) : covered;
    for (let channel = 0; channel < channels; channel++) {
      const at = (y * this.dims[1] + x) * channels + channel;
      const wanted = channels === 3 ? this.colour[channel] : 1;
      if (this.pen === 0) this.values[at] = Math.min(this.values[at], 1 - ink);
      else if (channels === 3) this.values[at] = ink ? wanted : this.values[at];
      else this.values[at] = Math.max(this.values[at], ink);
    }
  }

  #place(event) {
    const box = this.#canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * this.dims[1] - 0.5, ((event.clientY - box.top) / box.height) * this.dims[0] - 0.5];
  }

  #down(event) {
    if (event.button !== 0) return;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#last = this.#place(event);
    this.line(this.#last, this.#last);
    this.draw();
  }

  #move(event) {
    if (!this.#last) return;
    for (const piece of event.getCoalescedEvents?.() ?? [event]) {
      const place = this.#place(piece);
      this.line(this.#last, place);
      this.#last = place;
    }
    this.draw();
  }

  #up() {
    if (!this.#last) return;
    this.#last = null;
    this.#changed();
  }

  #key(event) {
    const move = MOVES[event.key];
    if (!move && event.key !== ' ') return;
    event.preventDefault();
    if (move) {
      const [x, y] = this.#cursor;
      this.#cursor = [Math.max(0, Math.min(this.dims[1] - 1, x + move[0])), Math.max(0, Math.min(this.rows - 1, y + move[1]))];
    } else {
      this.#toggle();
      this.#changed();
    }
    const [x, y] = this.#cursor;
    this.#told(`Row ${y + 1}, column ${x + 1}: ${this.#set(x, y) ? 'set' : 'clear'}`);
    this.draw();
  }

  #set(x, y) {
    const at = (y * this.dims[1] + x) * this.dims[2];
    return this.values.subarray(at, at + this.dims[2]).some((value) => value > 0.5);
  }

  #toggle() {
    const [x, y] = this.#cursor;
    const ink = this.#set(x, y) ? [0, 0, 0] : this.dims[2] === 3 ? this.colour : [1];
    this.values.set(ink.slice(0, this.dims[2]), (y * this.dims[1] + x) * this.dims[2]);
  }

  /** Draws the grid at the screen's own pixels. */
  draw() {
    const [height, width] = this.dims;
    if (width === 0) return;
    this.#cursor[1] = Math.min(this.#cursor[1], this.rows - 1);
    const cell = Math.max(1, Math.floor(SIDE / Math.max(width, height)));
    const unit = cell * Math.max(1, Math.round(devicePixelRatio));
    Object.assign(this.#canvas, { width: width * unit, height: height * unit });
    this.#canvas.style.width = `${width * cell}px`;
    const context = this.#canvas.getContext('2d');
    const colours = getComputedStyle(this.#canvas);
    const image = blank(width, height);
    paint(image, this.dims, this.values, 0, this.rows * width);
    context.imageSmoothingEnabled = false;
    context.drawImage(image, 0, 0, width * unit, height * unit);
    this.#rule(context, unit, colours.getPropertyValue('--rule'));
    context.fillStyle = context.strokeStyle = colours.getPropertyValue('--accent');
    context.fillRect(0, this.rows * unit - unit / 8, width * unit, unit / 4);
    if (this.#canvas.matches(':focus-visible')) {
      context.lineWidth = unit / 4;
      context.strokeRect(this.#cursor[0] * unit, this.#cursor[1] * unit, unit, unit);
    }
  }

  #rule(context, unit, colour) {
    const [height, width] = this.dims;
    if (unit < 5) return;
    context.fillStyle = colour;
    context.globalAlpha = 0.35;
    for (let x = 1; x < width; x++) context.fillRect(x * unit, 0, 1, height * unit);
    for (let y = 1; y < height; y++) context.fillRect(0, y * unit, width * unit, 1);
    context.globalAlpha = 1;
  }
}
