// The visitor draws the rows above a line, and a raster model the rest, several times.

import { Easel } from './easel.js';
import { bind, classes, label, suit, whole } from './form.js';
import { Job, parts } from './job.js';
import { Sheet } from './pixels.js';
import { whenSeen } from './seen.js';
import { number, several } from './words.js';

// Beginnings of digits, in parts of the image's sides: an arch, a bar with a fall, two posts, a bow to the left.
const EXAMPLES = [
  [[[0.32, 0.34], [0.38, 0.24], [0.5, 0.2], [0.62, 0.24], [0.67, 0.35], [0.62, 0.46], [0.55, 0.54]]],
  [[[0.3, 0.24], [0.5, 0.22], [0.7, 0.23], [0.64, 0.38], [0.57, 0.55]]],
  [[[0.38, 0.2], [0.34, 0.36], [0.32, 0.54]], [[0.65, 0.2], [0.63, 0.36], [0.61, 0.55]]],
  [[[0.62, 0.2], [0.48, 0.25], [0.38, 0.38], [0.34, 0.55]]],
];
const KEYS_SETTLE = 500;

export class Draw {
  #engine;
  #root = document.getElementById('draw');
  #part = parts(this.#root);
  #form = this.#root.querySelector('form');
  #job = new Job(this.#root);
  #sheet = new Sheet(this.#part('sheet'));
  #easel = new Easel(this.#part('grid'), () => this.#changed(), (words) => (document.getElementById('draw-at').textContent = words));
  #run = null;
  #example = 0;
  #settling = 0;

  constructor(engine) {
    this.#engine = engine;
    const { rows, pen, colour } = this.#form.elements;
    bind(this.#form, () => this.#form.requestSubmit());
    this.#form.onsubmit = (event) => {
      event.preventDefault();
      this.#complete();
    };
    rows.addEventListener('input', () => {
      this.#easel.rows = Number(rows.value);
      this.#easel.draw();
    });
    rows.addEventListener('change', () => this.#changed());
    for (const choice of pen) choice.addEventListener('change', () => (this.#easel.pen = Number(choice.value)));
    colour.addEventListener('input', () => (this.#easel.colour = [1, 3, 5].map((at) => parseInt(colour.value.slice(at, at + 2), 16) / 255)));
    this.#part('clear').onclick = () => {
      this.#easel.clear();
      this.#job.stop();
      this.#sheet.clear();
    };
    this.#part('example').onclick = () => {
      this.#drawExample();
      this.#changed();
    };
  }

  show(run) {
    this.#run = run;
    this.#root.hidden = false;
    this.#sheet.clear();
    this.#job.say('');
    suit(this.#root, run);
    classes(this.#form.elements.label, run, 'any');
    const { rows } = this.#form.elements;
    if (this.#easel.suit(run.dims, run.binary)) {
      rows.max = Math.max(1, run.dims[0] - 1);
      rows.value = this.#easel.rows;
      rows.dispatchEvent(new Event('input'));
      this.#drawExample();
    }
    this.#easel.draw();
    whenSeen(this.#root, () => this.#complete());
  }

  hide() {
    this.#root.hidden = true;
    return this.#job.stop();
  }

  #drawExample() {
    const [height, width] = this.#easel.dims;
    const pen = this.#easel.pen;
    this.#easel.clear();
    this.#easel.pen = 2;
    for (const stroke of EXAMPLES[this.#example++ % EXAMPLES.length]) {
      const points = stroke.map(([x, y]) => [x * width - 0.5, y * height - 0.5]);
      points.slice(1).forEach((point, at) => this.#easel.line(points[at], point));
    }
    this.#easel.pen = pen;
    this.#easel.draw();
  }

  /** Something else is given now. A keyboard sets pixel after pixel: completions wait until it rests. */
  #changed() {
    clearTimeout(this.#settling);
    if (!this.#form.elements.live.checked) return;
    const keys = this.#part('grid').matches(':focus-visible');
    this.#settling = setTimeout(() => this.#form.requestSubmit(), keys ? KEYS_SETTLE : 0);
  }

  #complete() {
    const run = this.#run;
    const { rows } = this.#easel;
    const options = {
      count: whole(this.#form, 'count'),
      seed: whole(this.#form, 'seed'),
      label: run.classes > 0 ? label(this.#form) : null,
      temperature: Number(this.#form.elements.temperature.value),
      steps: null,
    };
    return this.#job.run('Completing …', async (signal, tell) => {
      const progress = (images, done, total) => {
        tell(done, total);
        const top = rows / run.dims[0];
        this.#sheet.show(run.dims, images, top + (1 - top) * (done / total));
      };
      const images = await this.#engine.complete(run.name, options, this.#easel.kept(), this.#easel.given(), { progress, signal });
      tell(1, 1);
      this.#sheet.show(run.dims, images);
      return `${several(options.count, 'completion')} of ${several(rows, 'row')} by seed ${number(options.seed)}`;
    });
  }
}
