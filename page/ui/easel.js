// A grid of pixels to draw on, by mouse, finger or keyboard, of which only the rows above a line count.

import { blank, paint } from './pixels.js';

const SIDE = 336;
const RADIUS = 1.15;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], ' ': [0, 0] };

/** How much of a pixel a round pen covers that went from one place to another. */
function cover(x, y, [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const along = dx || dy ? Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy))) : 0;
  return Math.max(0, Math.min(1, RADIUS + 0.5 - Math.hypot(x - ax - along * dx, y - ay - along * dy)));
}

/** `changed` is called after a stroke or a toggled pixel; `told` hears where the keyboard's cursor is. */
export function easel(canvas, changed, told) {
  let [height, width, channels, rows] = [0, 0, 0, 0];
  let ink = [];
  let binary = false;
  let erasing = false;
  let last = null;
  let cursor = [0, 0];

  canvas.onpointerdown = (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    last = place(event);
    canvas.onpointermove(event);
  };
  canvas.onpointermove = (event) => {
    if (!last) return;
    const from = last;
    last = place(event);
    line(from, last);
    draw();
  };
  canvas.onpointerup = canvas.onpointercancel = () => {
    if (last) changed();
    last = null;
  };
  canvas.onfocus = canvas.onblur = draw;
  canvas.onkeydown = (event) => {
    const move = MOVES[event.key];
    if (!move) return;
    event.preventDefault();
    cursor = [Math.max(0, Math.min(width - 1, cursor[0] + move[0])), Math.max(0, Math.min(rows - 1, cursor[1] + move[1]))];
    const at = cursor[1] * width + cursor[0];
    if (event.key === ' ') {
      ink[at] = ink[at] > 0.5 ? 0 : 1;
      changed();
    }
    told(`Row ${cursor[1] + 1}, column ${cursor[0] + 1}: ${ink[at] > 0.5 ? 'white' : 'black'}`);
    draw();
  };

  /** A grid for a run's images. What is drawn stays, unless their size is another: then true. */
  function suit(run) {
    binary = run.binary;
    channels = run.dims[2];
    if (height === run.dims[0] && width === run.dims[1]) return false;
    [height, width] = run.dims;
    ink = new Float32Array(height * width);
    return true;
  }

  /** Puts the line below so many rows. */
  function keep(count) {
    rows = count;
    cursor = [Math.floor(width / 2), Math.floor(rows / 2)];
    draw();
  }

  /** Which pixels are given, and their values in every channel. */
  function given() {
    const kept = new Uint8Array(height * width).fill(1, 0, rows * width);
    const value = (at) => ink[Math.floor(at / channels)] * kept[Math.floor(at / channels)];
    return [kept, Float32Array.from({ length: ink.length * channels }, (_, at) => value(at))];
  }

  /** Nothing but strokes through points that are given in parts of the image's sides. */
  function set(strokes) {
    ink.fill(0);
    for (const stroke of strokes) {
      const points = stroke.map(([x, y]) => [x * width - 0.5, y * height - 0.5]);
      points.slice(1).forEach((point, at) => line(points[at], point, false));
    }
    draw();
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * width - 0.5, ((event.clientY - box.top) / box.height) * height - 0.5];
  }

  function line(from, to, erase = erasing) {
    for (let at = 0; at < rows * width; at++) {
      const covered = cover(at % width, Math.floor(at / width), from, to);
      // Binary models have never seen the levels of a soft edge.
      const amount = binary ? Math.round(covered) : covered;
      ink[at] = erase ? Math.min(ink[at], 1 - amount) : Math.max(ink[at], amount);
    }
  }

  function draw() {
    if (width === 0) return;
    const cell = Math.max(1, Math.floor(SIDE / Math.max(width, height)));
    const unit = cell * Math.max(1, Math.round(devicePixelRatio));
    Object.assign(canvas, { width: width * unit, height: height * unit });
    canvas.style.width = `${width * cell}px`;
    const context = canvas.getContext('2d');
    const image = blank(width, height);
    paint(image, [height, width, 1], ink, 0, rows * width);
    context.imageSmoothingEnabled = false;
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    context.fillStyle = '#8886';
    for (let x = 1; x < width; x++) context.fillRect(x * unit, 0, 1, canvas.height);
    for (let y = 1; y < height; y++) context.fillRect(0, y * unit, canvas.width, 1);
    context.fillStyle = context.strokeStyle = getComputedStyle(canvas).getPropertyValue('--accent');
    context.fillRect(0, rows * unit - unit / 8, canvas.width, unit / 4);
    context.lineWidth = unit / 4;
    if (canvas.matches(':focus-visible')) context.strokeRect(cursor[0] * unit, cursor[1] * unit, unit, unit);
  }

  return { suit, keep, given, set, erase: (is) => (erasing = is) };
}
