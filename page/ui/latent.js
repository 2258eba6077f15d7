// A plane through a latent space, on which a place is chosen; the network makes an image of it at once.

import { newestOnly } from '../engine.js';
import { classes, label, suit } from './form.js';
import { Job, parts } from './job.js';
import { blank, paint, Sheet } from './pixels.js';
import { whenSeen } from './seen.js';
import { number, sentence } from './words.js';

const MAP_SIDE = 336;
const SLIDERS = 6;
const SECONDS_A_ROUND = 24;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

function normal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

function dot(a, b) {
  return a.reduce((sum, value, at) => sum + value * b[at], 0);
}

/** Two directions at right angles, each as long as a draw from N(0, 1) in so many dimensions usually is: √n. */
function directions(n) {
  const scaled = (a) => a.map((value) => (value * Math.sqrt(n)) / Math.sqrt(dot(a, a)));
  const u = scaled(Float32Array.from({ length: n }, normal));
  const v = Float32Array.from({ length: n }, normal);
  const along = dot(v, u) / n;
  return [u, scaled(v.map((value, at) => value - along * u[at]))];
}

export class Latent {
  #engine;
  #root = document.getElementById('latent');
  #part = parts(this.#root);
  #form = this.#root.querySelector('form');
  #job = new Job(this.#root);
  #image = new Sheet(this.#part('image'));
  #run = null;
  #plane = [];
  #offset = [];
  #place = [0, 0];
  #walking = 0;
  #mapping = 0;
  #show = newestOnly((run, z, label) => this.#decode(run, z, label));

  constructor(engine) {
    this.#engine = engine;
    const pad = this.#part('pad');
    pad.onpointerdown = (event) => {
      pad.setPointerCapture(event.pointerId);
      this.#walk(false);
      this.#point(event);
    };
    pad.onpointermove = (event) => pad.hasPointerCapture(event.pointerId) && this.#point(event);
    pad.onkeydown = (event) => this.#key(event);
    this.#form.onsubmit = (event) => event.preventDefault();
    this.#form.elements.label.onchange = () => this.#another();
    this.#part('plane').onclick = () => {
      this.#turn();
      this.#another();
    };
    this.#part('walk').onclick = () => this.#walk(!this.#walking);
  }

  show(run) {
    this.#run = run;
    this.#root.hidden = false;
    this.#image.clear();
    this.#job.say('');
    this.#job.fail(null);
    suit(this.#root, run);
    classes(this.#form.elements.label, run);
    this.#part('plane').hidden = run.latent <= 2;
    this.#part('about').textContent = this.#about();
    this.#turn();
    this.#place = run.latent > 2 ? [0.6, 0.5] : [0.8, 0.6];
    this.#layMap();
    whenSeen(this.#root, () => this.#another());
  }

  async hide() {
    this.#root.hidden = true;
    this.#mapping++;
    this.#walk(false);
  }

  get #reach() {
    return this.#run.latent > 2 ? 1.5 : 3;
  }

  #about() {
    const { latent } = this.#run;
    if (latent <= 2) return `This model’s latent has ${number(latent)} coordinates, so the pad is all of it, from −3 to 3 each way. Under its prior, N(0, 1), two in five draws lie within the ring.`;
    return `An image is made of ${number(latent)} numbers, a place in a space of as many dimensions. The pad is a plane in it through the origin; on the ring, a place is as far out as draws from the prior, N(0, 1), usually are (√${number(latent)} = ${number(Math.sqrt(latent))}).`;
  }

  /** Another plane, and nothing off it. */
  #turn() {
    const { latent } = this.#run;
    this.#plane = latent > 2 ? directions(latent) : [[1, 0], [0, 1]].map((axis) => axis.slice(0, latent));
    this.#offset = new Float32Array(latent);
    if (latent > 2) this.#part('sliders').replaceChildren(...Array.from({ length: Math.min(SLIDERS, latent) }, (_, at) => this.#slider(at)));
  }

  #slider(at) {
    const input = Object.assign(document.createElement('input'), { type: 'range', min: -3, max: 3, step: 0.1, value: 0 });
    const said = Object.assign(document.createElement('output'), { textContent: '0' });
    input.oninput = () => {
      this.#offset[at] = Number(input.value);
      said.textContent = number(Number(input.value));
      this.#look();
    };
    input.onchange = () => this.#map();
    const row = document.createElement('label');
    const name = Object.assign(document.createElement('span'), { textContent: `z${at + 1}` });
    row.append(name, input, said);
    return row;
  }

  #z(x, y) {
    const [u, v] = this.#plane;
    return Float32Array.from(this.#offset, (value, at) => value + x * u[at] + y * v[at]);
  }

  get #label() {
    return this.#run.classes > 0 ? label(this.#form) : -1;
  }

  #another() {
    this.#look();
    this.#map();
  }

  /** Shows the image of the place the mark is at. */
  #look() {
    const [x, y] = this.#place;
    const pad = this.#part('pad');
    const z = this.#z(x, y);
    const said = `${number(Math.round(x * 100) / 100)}, ${number(Math.round(y * 100) / 100)}`;
    pad.style.setProperty('--x', 0.5 + x / this.#reach / 2);
    pad.style.setProperty('--y', 0.5 - y / this.#reach / 2);
    pad.setAttribute('aria-valuenow', Math.round(x * 100) / 100);
    pad.setAttribute('aria-valuetext', said);
    const first = Array.from(z.subarray(0, 4), (value) => value.toFixed(2).replace('-', '−')).join(', ');
    this.#part('z').textContent = `z = (${first}${z.length > 4 ? ', …' : ''}), |z| = ${Math.sqrt(dot(z, z)).toFixed(2)}`;
    this.#show(this.#run, z, this.#label);
  }

  async #decode(run, z, label) {
    try {
      const values = await this.#engine.decode(run.name, z, label);
      if (run === this.#run) this.#image.show(run.dims, values);
      this.#job.fail(null);
    } catch (error) {
      this.#job.fail(sentence(error));
      this.#walk(false);
    }
  }

  #layMap() {
    const [height, width] = this.#run.dims;
    const tiles = Math.max(5, Math.min(12, Math.floor(MAP_SIDE / width)));
    const map = this.#part('map');
    Object.assign(map, { width: tiles * width, height: tiles * height });
    const pad = this.#part('pad');
    pad.style.width = `${tiles * width}px`;
    pad.style.setProperty('--ring', 1 / this.#reach);
    pad.setAttribute('aria-valuemin', -this.#reach);
    pad.setAttribute('aria-valuemax', this.#reach);
  }

  /** What the plane holds, tile by tile. A row is one call, so that the mark's own image need not wait for all of them. */
  async #map() {
    const mine = ++this.#mapping;
    const { dims, name, latent } = this.#run;
    const [height, width, channels] = dims;
    const map = this.#part('map');
    const tiles = map.width / width;
    const at = (tile) => (((tile + 0.5) / tiles) * 2 - 1) * this.#reach;
    const tile = blank(width, height);
    for (let row = 0; row < tiles; row++) {
      const z = new Float32Array(tiles * latent);
      for (let column = 0; column < tiles; column++) z.set(this.#z(at(column), -at(row)), column * latent);
      try {
        const values = await this.#engine.decode(name, z, this.#label);
        if (mine !== this.#mapping) return;
        for (let column = 0; column < tiles; column++) {
          paint(tile, dims, values, column * height * width * channels);
          map.getContext('2d').drawImage(tile, column * width, row * height);
        }
      } catch (error) {
        return this.#job.fail(sentence(error));
      }
    }
  }

  #point(event) {
    const box = this.#part('pad').getBoundingClientRect();
    this.#go((((event.clientX - box.left) / box.width) * 2 - 1) * this.#reach, (1 - ((event.clientY - box.top) / box.height) * 2) * this.#reach);
  }

  #go(x, y) {
    const within = (value) => Math.max(-this.#reach, Math.min(this.#reach, value));
    this.#place = [within(x), within(y)];
    this.#look();
  }

  #key(event) {
    const move = MOVES[event.key];
    if (!move && event.key !== 'Home') return;
    event.preventDefault();
    this.#walk(false);
    const step = move ? (this.#reach / 60) * (event.shiftKey ? 5 : 1) : 0;
    const [x, y] = this.#place;
    if (move) this.#go(x + move[0] * step, y + move[1] * step);
    else this.#go(0, 0);
  }

  /** Goes round the ring, from the side the mark is on. */
  #walk(on) {
    const button = this.#part('walk');
    button.setAttribute('aria-pressed', on);
    button.textContent = on ? 'Stand still' : 'Walk the ring';
    cancelAnimationFrame(this.#walking);
    this.#walking = 0;
    if (!on) return;
    const start = performance.now();
    const from = Math.atan2(this.#place[1], this.#place[0]);
    const step = (now) => {
      const angle = from + ((now - start) / 1000 / SECONDS_A_ROUND) * 2 * Math.PI;
      this.#go(Math.cos(angle), Math.sin(angle));
      this.#walking = requestAnimationFrame(step);
    };
    this.#walking = requestAnimationFrame(step);
  }
}
