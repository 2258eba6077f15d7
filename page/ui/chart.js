// Curves of training, drawn as they come: each step's values (thin) and their running mean (thick).

import { number } from './words.js';

const HEIGHT = 250;
const [LEFT, RIGHT, TOP, BOTTOM] = [58, 12, 24, HEIGHT - 40];
const MEMORY = 0.95;
const MOST_POINTS = 500;

/** Round values that divide a range into some `wanted` parts. */
function ticks(low, high, wanted) {
  const rough = (high - low) / wanted;
  const step = [1, 2, 5, 10].map((factor) => factor * 10 ** Math.floor(Math.log10(rough))).find((size) => size >= rough);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, at) => Number(((first + at) * step).toPrecision(12)));
}

/** The lowest value, and one that few are above: the fall of the first steps would flatten what follows. */
function range(values) {
  const sorted = values.sort((a, b) => a - b);
  const [low = 0, high = 1] = [sorted[0], sorted[Math.floor((sorted.length - 1) * (sorted.length < 20 ? 1 : 0.97))]];
  const room = (high - low) * 0.06 || Math.abs(low) * 0.1 || 1;
  return [low - room, high + room];
}

/** Every so many points: drawing is not to cost more the longer the training is. */
function thinned(points) {
  const stride = Math.ceil(points.length / MOST_POINTS);
  return points.filter(([, value], at) => (at % stride === 0 || at === points.length - 1) && Number.isFinite(value));
}

function path(points, x, y) {
  return `M${points.map(([step, value]) => `${x(step)} ${y(value)}`).join('L')}`;
}

function text(x, y, anchor, words) {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}">${words}</text>`;
}

export function chart(root) {
  root.innerHTML = '<svg class="chart" role="img" aria-label="Curves of training, whose newest values follow"></svg><p class="legend"></p><p class="hint">Thin: each step’s value. Thick: the running mean of about 20.</p>';
  const [picture, legend] = root.children;
  let curves = [];
  let scheduled = 0;
  new ResizeObserver(schedule).observe(root);

  function clear() {
    curves = [];
    root.hidden = true;
  }

  function add(step, values, units) {
    for (const [name, value] of Object.entries(values)) {
      let curve = curves.find((one) => one.name === name);
      if (!curve) curves.push((curve = { name, unit: units[name] ?? '', raw: [], mean: [], sum: 0, weight: 0 }));
      curve.raw.push([step, value ?? NaN]);
      // A value that is none leaves the mean as it was.
      if (!Number.isFinite(value)) continue;
      curve.sum = MEMORY * curve.sum + (1 - MEMORY) * value;
      curve.weight = MEMORY * curve.weight + 1 - MEMORY;
      curve.mean.push([step, curve.sum / curve.weight]);
    }
    root.hidden = false;
    schedule();
  }

  function schedule() {
    scheduled ||= requestAnimationFrame(() => {
      scheduled = 0;
      if (curves.length > 0 && root.clientWidth > 0) draw();
    });
  }

  /** What has the first one's unit shares its axes; the others are told below. */
  function draw() {
    const drawn = curves.filter((curve, at) => at === 0 || (curve.unit && curve.unit === curves[0].unit));
    const lines = (kind, x, y) => drawn.map((curve, at) => `<path class="${kind} curve${at % 4}" d="${path(thinned(curve[kind]), x, y)}"/>`).join('');
    const swatch = (at) => (at < 0 ? '' : `<svg class="chart" width="26" height="8"><path class="mean curve${at % 4}" d="M0 4H26"/></svg> `);
    legend.innerHTML = curves.map((curve) => `<span>${swatch(drawn.indexOf(curve))}${curve.name} ${number(curve.mean.at(-1)?.[1] ?? NaN)}</span>`).join('');
    const [low, high] = range(drawn.flatMap((curve) => thinned(curve.raw).map(([, value]) => value)));
    const [last, right] = [Math.max(curves[0].raw.at(-1)[0], 10), root.clientWidth - RIGHT];
    const x = (step) => Math.round(LEFT + (step / last) * (right - LEFT));
    const y = (value) => (BOTTOM - ((value - low) / (high - low)) * (BOTTOM - TOP)).toFixed(1);
    const values = ticks(low, high, 5).map((value) => `<path class="rule" d="M${LEFT} ${y(value)}H${right}"/>${text(LEFT - 8, y(value), 'end', number(value))}`);
    const steps = ticks(0, last, Math.max(2, Math.min(8, right / 110))).map((step) => `<path d="M${x(step)} ${BOTTOM}v5"/>${text(x(step), BOTTOM + 19, 'middle', number(step))}`);
    const axes = `<path d="M${LEFT} ${TOP}V${BOTTOM}H${right}"/>${text(LEFT - 8, 12, 'end', curves[0].unit)}${text(right, HEIGHT - 8, 'end', 'step')}`;
    // What is above the axes is cut off by a picture within the picture.
    const within = `y="${TOP}" width="${right}" height="${BOTTOM - TOP}" viewBox="0 ${TOP} ${right} ${BOTTOM - TOP}"`;
    picture.innerHTML = `${values.join('')}${steps.join('')}${axes}<svg ${within}>${lines('raw', x, y)}${lines('mean', x, y)}</svg>`;
  }

  return { clear, add };
}
