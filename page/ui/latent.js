// A plane through a latent space, on which a place is chosen; the network makes an image of it at once.

import { ask, newestOnly } from '../engine.js';
import { blank, paint, sheet } from './pixels.js';
import { options, section, whenSeen } from './section.js';
import { number, sentence } from './words.js';

const MAP_SIDE = 336;
const SLIDERS = 6;
const MILLISECONDS_A_RADIAN = 4000;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1], Home: [0, 0] };

const here = section('latent', redraw);
const { part, form, work } = here;
const image = sheet(part('image'));
const [pad, map, walk] = ['pad', 'map', 'walk'].map(part);
const decode = newestOnly(look);
let run = null;
let plane = [];
let offset = [];
let place = [0.6, 0.5];
let reach = 1;
let walking = false;
let mapping = 0;

pad.onpointerdown = (event) => {
  pad.setPointerCapture(event.pointerId);
  pad.onpointermove(event);
};
pad.onpointermove = (event) => {
  if (!pad.hasPointerCapture(event.pointerId)) return;
  const box = pad.getBoundingClientRect();
  stroll(false);
  go((((event.clientX - box.left) / box.width) * 2 - 1) * reach, (1 - ((event.clientY - box.top) / box.height) * 2) * reach);
};
pad.onkeydown = (event) => {
  const move = MOVES[event.key];
  if (!move) return;
  event.preventDefault();
  stroll(false);
  const step = (reach / 60) * (event.shiftKey ? 5 : 1);
  const [x, y] = event.key === 'Home' ? [0, 0] : place;
  go(x + move[0] * step, y + move[1] * step);
};
form.elements.label.onchange = redraw;
part('turn').onclick = turn;
walk.onclick = () => stroll(!walking);

export function show(shown) {
  run = shown;
  here.show(run);
  image.clear();
  part('about').textContent = about(run.latent);
  reach = run.latent > 2 ? 1.5 : 3;
  const [height, width] = run.dims;
  const tiles = Math.max(5, Math.min(12, Math.floor(MAP_SIDE / width)));
  Object.assign(map, { width: tiles * width, height: tiles * height });
  pad.style.width = `${map.width}px`;
  pad.style.setProperty('--ring', 1 / reach);
  Object.assign(pad, { ariaValueMin: -reach, ariaValueMax: reach });
  whenSeen(pad, turn);
}

export function hide() {
  mapping++;
  stroll(false);
  return here.hide();
}

function about(n) {
  if (n <= 2) return `This model makes an image of ${n === 1 ? 'one number' : 'two numbers'}, its latent; the pad holds those from −3 to 3. Of draws from its prior, N(0, 1), 39% lie within the ring.`;
  return `This model makes an image of ${n} numbers, its latent: a place in as many dimensions. The pad is a plane there, through the origin. On the ring, places are as far out as draws from the prior, N(0, 1), usually are: ${number(Math.sqrt(n))}.`;
}

function dot(a, b) {
  return a.reduce((sum, value, at) => sum + value * b[at], 0);
}

/** Two directions at right angles, each √n long, as draws from N(0, 1) usually are. */
function directions(n) {
  const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  const [a, b] = [0, 1].map(() => Float32Array.from({ length: n }, normal));
  const along = dot(a, b) / dot(a, a);
  return [a, b.map((value, at) => value - along * a[at])].map((one) => one.map((value) => value * Math.sqrt(n / dot(one, one))));
}

/** Another plane, and nothing off it. */
function turn() {
  const n = run.latent;
  plane = n > 2 ? directions(n) : [[1, 0], [0, 1]];
  offset = new Float32Array(n);
  part('sliders').replaceChildren(...Array.from({ length: Math.min(SLIDERS, n) }, (_, at) => slider(at)));
  redraw();
}

function slider(at) {
  const label = document.createElement('label');
  label.innerHTML = `z<sub>${at + 1}</sub> <output>0</output><input type="range" min="-3" max="3" step="0.1" value="0">`;
  const input = label.lastChild;
  input.oninput = () => {
    offset[at] = input.value;
    go(...place);
  };
  input.onchange = drawMap;
  return label;
}

function z(x, y) {
  return Float32Array.from(offset, (value, at) => value + x * plane[0][at] + y * plane[1][at]);
}

function redraw() {
  go(...place);
  drawMap();
}

/** Puts the mark at a place, and has its image made. */
function go(...wanted) {
  place = wanted.map((value) => Math.max(-reach, Math.min(reach, value)));
  const [x, y] = place;
  const at = z(x, y);
  pad.style.setProperty('--x', 0.5 + x / reach / 2);
  pad.style.setProperty('--y', 0.5 - y / reach / 2);
  Object.assign(pad, { ariaValueNow: x.toFixed(2), ariaValueText: `${x.toFixed(2)} across, ${y.toFixed(2)} up` });
  const shown = Array.from(at.subarray(0, 4), (value) => value.toFixed(2));
  part('z').textContent = `z = (${shown.join(', ')}${at.length > 4 ? ', …' : ''}), |z| = ${Math.sqrt(dot(at, at)).toFixed(2)}`;
  decode(run, at);
}

function images(of, z) {
  return ask('decode', [of.name, z, options(form).label ?? -1]);
}

async function look(of, z) {
  try {
    const values = await images(of, z);
    if (of === run) image.show(run.dims, values);
  } catch (error) {
    work.fail(sentence(error));
    stroll(false);
  }
}

/** What the plane holds. A row is one call, so that the mark's image need not wait for all of them. */
async function drawMap() {
  const mine = ++mapping;
  const { dims, latent } = run;
  const tiles = map.width / dims[1];
  const along = Array.from({ length: tiles }, (_, tile) => ((tile * 2 + 1) / tiles - 1) * reach);
  const tile = blank(dims[1], dims[0]);
  for (let row = 0; row < tiles; row++) {
    const places = new Float32Array(tiles * latent);
    along.forEach((x, column) => places.set(z(x, -along[row]), column * latent));
    // What goes wrong here is said where the mark's image is made.
    const values = await images(run, places).catch(() => null);
    if (!values || mine !== mapping) return;
    for (let column = 0; column < tiles; column++) {
      paint(tile, dims, values, (column * values.length) / tiles);
      map.getContext('2d').drawImage(tile, column * tile.width, row * tile.height);
    }
  }
}

/** Goes on round the ring from where the mark is, or stands still. */
function stroll(on, since = performance.now()) {
  walk.ariaPressed = on;
  cancelAnimationFrame(walking);
  walking = on && requestAnimationFrame((now) => {
    const angle = Math.atan2(place[1], place[0]) + (now - since) / MILLISECONDS_A_RADIAN;
    go(Math.cos(angle), Math.sin(angle));
    stroll(true, now);
  });
}
