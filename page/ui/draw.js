// The visitor draws the rows above a line, and a raster model the rest, several times.

import { ask } from '../engine.js';
import { easel } from './easel.js';
import { sheet } from './pixels.js';
import { options, section, whenSeen } from './section.js';
import { number, several } from './words.js';

// Beginnings of digits, in parts of the image's sides: an arch, a bar with a fall, two posts.
const EXAMPLES = [
  [[[0.32, 0.34], [0.38, 0.24], [0.5, 0.2], [0.62, 0.24], [0.67, 0.35], [0.62, 0.46], [0.55, 0.54]]],
  [[[0.3, 0.24], [0.5, 0.22], [0.7, 0.23], [0.64, 0.38], [0.57, 0.55]]],
  [[[0.38, 0.2], [0.34, 0.36], [0.32, 0.54]], [[0.65, 0.2], [0.63, 0.36], [0.61, 0.55]]],
];
const MILLISECONDS_OF_REST = 400;

const here = section('draw', complete);
const { part, form, work } = here;
const images = sheet(part('sheet'));
const grid = easel(part('grid'), changed, (words) => (part('at').textContent = words));
const { rows, erase, live } = form.elements;
let run = null;
let example = 0;
let resting = 0;

rows.addEventListener('input', () => grid.keep(Number(rows.value)));
rows.addEventListener('change', changed);
erase.onchange = () => grid.erase(erase.checked);
part('clear').onclick = () => {
  grid.set([]);
  work.stop();
  images.clear();
};
part('example').onclick = () => {
  grid.set(EXAMPLES[++example % EXAMPLES.length]);
  changed();
};

export function hide() {
  clearTimeout(resting);
  return here.hide();
}

export function show(shown) {
  run = shown;
  here.show(run);
  images.clear();
  if (grid.suit(run)) {
    rows.max = Math.max(1, run.dims[0] - 1);
    rows.value = Math.floor(run.dims[0] / 2);
    rows.dispatchEvent(new Event('input', { bubbles: true }));
    grid.set(EXAMPLES[0]);
  }
  whenSeen(part('grid'), complete);
}

/** Something else is given now. Completions wait for pen and keyboard to rest. */
function changed() {
  clearTimeout(resting);
  if (live.checked) resting = setTimeout(() => form.requestSubmit(), MILLISECONDS_OF_REST);
}

function complete() {
  const { name, dims } = run;
  const asked = options(form);
  const above = Number(rows.value) / dims[0];
  work.run('Completing …', async (signal, progress) => {
    const told = (drawn, done, total) => {
      progress(done, total);
      images.show(dims, drawn, Math.max(above, done / total));
    };
    images.show(dims, await ask('complete', [name, asked, ...grid.given()], { told, signal }));
    return `${several(asked.count, 'completion')} by seed ${number(asked.seed)}`;
  });
}
