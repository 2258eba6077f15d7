// Curves of training, drawn as they come: what has the same unit on the same axes, as it was (thin) and its running mean (thick).

import { number } from './words.js';

const HEIGHT = 250;
const EDGE = { left: 58, right: 12, top: 24, bottom: 40 };
const MEMORY = 0.96;
const MOST_POINTS = 500;

function svg(name, attributes = {}, text = '') {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

function html(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}

/** Round values that divide a range into some `wanted` parts. */
export function ticks(low, high, wanted) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const all = [];
  for (let tick = Math.ceil(low / step); tick * step <= high; tick++) all.push(Number((tick * step).toPrecision(12)));
  return all;
}

/** The lowest value and one that only few of the first are above: the fall from the first steps would flatten what follows. */
function range(values) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (sorted.length === 0) return [0, 1];
  const low = sorted[0];
  const high = sorted.length < 20 ? sorted.at(-1) : sorted[Math.floor(sorted.length * 0.97)];
  const room = (high - low) * 0.06 || Math.abs(low) * 0.1 || 1;
  return [low - room, high + room];
}

class Curve {
  raw = [];
  mean = [];
  #sum = 0;
  #weight = 0;

  constructor(name, unit) {
    this.name = name;
    this.unit = unit;
  }

  add(step, value) {
    this.raw.push([step, value]);
    if (Number.isFinite(value)) {
      this.#sum = MEMORY * this.#sum + (1 - MEMORY) * value;
      this.#weight = MEMORY * this.#weight + 1 - MEMORY;
    }
    this.mean.push([step, this.#sum / this.#weight]);
  }
}

/** Every so many points, so that drawing costs the same however long the training is. */
function thinned(points) {
  const stride = Math.ceil(points.length / MOST_POINTS);
  return points.filter((_, at) => at % stride === 0 || at === points.length - 1);
}

export class Chart {
  #root;
  #choice = html('select', { ariaLabel: 'What the chart shows' });
  #picture = svg('svg', { tabindex: 0, role: 'img' });
  #legend = html('p', { className: 'legend' });
  #reading = html('p', { className: 'hint numbers' });
  #curves = new Map();
  #scheduled = 0;
  #at = null;

  constructor(root) {
    this.#root = root;
    this.#reading.setAttribute('aria-live', 'polite');
    root.append(this.#choice, this.#picture, this.#legend, this.#reading);
    this.#choice.onchange = () => this.#draw();
    new ResizeObserver(() => this.#draw()).observe(root);
    this.#picture.onpointermove = (event) => this.#point(event.clientX - this.#picture.getBoundingClientRect().left);
    this.#picture.onpointerleave = () => this.#read(null);
    this.#picture.onkeydown = (event) => this.#key(event);
    this.clear();
  }

  clear() {
    this.#curves.clear();
    this.#choice.replaceChildren();
    this.#root.hidden = true;
    this.#read(null);
  }

  add(step, values, units) {
    for (const [name, value] of Object.entries(values)) {
      if (!this.#curves.has(name)) this.#meet(name, units[name] ?? '');
      this.#curves.get(name).add(step, value ?? NaN);
    }
    this.#root.hidden = false;
    this.#draw();
  }

  /** A new quantity: those of the loss's unit share one chart, each other has its own. */
  #meet(name, unit) {
    const [first] = this.#curves.values();
    const together = !first || (unit !== '' && unit === first.unit);
    this.#curves.set(name, new Curve(name, unit));
    if (!first || !together) this.#choice.append(new Option(unit && first ? `${name}, ${unit}` : name, name));
    const others = [...this.#curves.values()].filter((curve) => curve.unit === unit && together);
    if (together) this.#choice.options[0].textContent = others.map((curve) => curve.name).join(', ');
    this.#choice.hidden = this.#choice.options.length < 2;
  }

  get #visible() {
    const all = [...this.#curves.values()];
    if (this.#choice.selectedIndex > 0) return all.filter((curve) => curve.name === this.#choice.value);
    return all.filter((curve, at) => at === 0 || (curve.unit !== '' && curve.unit === all[0].unit));
  }

  #draw() {
    this.#scheduled ||= requestAnimationFrame(() => {
      this.#scheduled = 0;
      if (this.#curves.size > 0 && this.#root.clientWidth > 0) this.#now();
    });
  }

  #now() {
    const curves = this.#visible;
    const width = this.#root.clientWidth;
    const steps = curves[0].raw;
    const [low, high] = range(curves.flatMap((curve) => thinned(curve.raw).map(([, value]) => value)));
    const last = Math.max(steps.at(-1)[0], 10);
    const x = (step) => EDGE.left + (step / last) * (width - EDGE.left - EDGE.right);
    const y = (value) => HEIGHT - EDGE.bottom - ((value - low) / (high - low)) * (HEIGHT - EDGE.top - EDGE.bottom);
    this.#picture.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
    this.#picture.replaceChildren(...this.#axes(width, [low, high], last, x, y, curves[0].unit), this.#lines(curves, width, x, y));
    if (this.#at !== null) this.#picture.append(svg('path', { class: 'pointer', d: `M${x(this.#at)} ${EDGE.top}V${HEIGHT - EDGE.bottom}` }));
    const words = curves.map((curve) => `${curve.name} ${number(curve.mean.at(-1)[1])}${curve.unit && ` ${curve.unit}`}`);
    this.#picture.setAttribute('aria-label', `Curves of training at step ${number(steps.at(-1)[0])}: ${words.join(', ')}. Arrow keys read them.`);
    this.#legend.replaceChildren(...curves.map((curve, at) => this.#key_of(curve, at)));
  }

  #axes(width, [low, high], last, x, y, unit) {
    const [left, bottom] = [EDGE.left, HEIGHT - EDGE.bottom];
    const marks = ticks(low, high, 5).flatMap((value) => [
      svg('path', { class: 'rule', d: `M${left} ${y(value)}H${width - EDGE.right}` }),
      svg('text', { x: left - 8, y: y(value) + 4, 'text-anchor': 'end' }, number(value)),
    ]);
    const times = ticks(0, last, Math.max(2, Math.min(8, width / 110))).flatMap((value) => [
      svg('path', { class: 'axis', d: `M${x(value)} ${bottom}v5` }),
      svg('text', { x: x(value), y: bottom + 19, 'text-anchor': 'middle' }, number(value)),
    ]);
    return [
      ...marks,
      ...times,
      svg('path', { class: 'axis', d: `M${left} ${EDGE.top}V${bottom}H${width - EDGE.right}` }),
      svg('text', { x: left - 8, y: 12, 'text-anchor': 'end' }, unit),
      svg('text', { x: width - EDGE.right, y: HEIGHT - 4, 'text-anchor': 'end' }, 'step'),
    ];
  }

  #lines(curves, width, x, y) {
    const path = (points) => thinned(points).filter(([, value]) => Number.isFinite(value)).map(([step, value], at) => `${at ? 'L' : 'M'}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join('');
    const frame = svg('svg', { x: 0, y: EDGE.top, width, height: HEIGHT - EDGE.top - EDGE.bottom, viewBox: `0 ${EDGE.top} ${width} ${HEIGHT - EDGE.top - EDGE.bottom}` });
    curves.forEach((curve, at) => frame.append(svg('path', { class: `raw curve${at % 4}`, d: path(curve.raw) })));
    curves.forEach((curve, at) => frame.append(svg('path', { class: `mean curve${at % 4}`, d: path(curve.mean) })));
    return frame;
  }

  #key_of(curve, at) {
    const swatch = svg('svg', { width: 26, height: 8, 'aria-hidden': 'true' });
    swatch.append(svg('path', { class: `mean curve${at % 4}`, d: 'M0 4H26' }));
    const entry = html('span');
    entry.append(swatch, ` ${curve.name} ${number(curve.mean.at(-1)[1])}`);
    return entry;
  }

  #point(pixels) {
    const points = this.#visible[0]?.raw ?? [];
    const share = (pixels - EDGE.left) / (this.#root.clientWidth - EDGE.left - EDGE.right);
    const step = share * Math.max(points.at(-1)?.[0] ?? 0, 10);
    this.#read(points.findIndex(([at]) => at >= step));
  }

  #key(event) {
    const points = this.#visible[0].raw;
    const page = Math.max(1, Math.round(points.length / 40));
    const move = { ArrowLeft: -page, ArrowRight: page, Home: -Infinity, End: Infinity }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    const from = this.#at === null ? points.length - 1 : points.findIndex(([step]) => step >= this.#at);
    this.#read(Math.max(0, Math.min(points.length - 1, from + move)));
  }

  /** Says the values of the curves at one of their points. */
  #read(index) {
    const curves = this.#visible;
    const point = index === null ? undefined : curves[0]?.raw[index];
    this.#at = point ? point[0] : null;
    this.#reading.textContent = point
      ? `Step ${number(point[0])}: ${curves.map((curve) => `${curve.name} ${number(curve.raw[index]?.[1])} (mean ${number(curve.mean[index]?.[1])})`).join(', ')}`
      : 'Thin: each step’s value. Thick: the running mean of about 25.';
    this.#draw();
  }
}
