// Samples of a run by their seed.

import { bind, classes, download, label, suit, whole } from './form.js';
import { Job, parts } from './job.js';
import { Sheet } from './pixels.js';
import { number, several } from './words.js';

const ABOUT = {
  raster: () => 'The model goes through an image row by row and draws every pixel from a distribution that depends on those before it. The seed settles each draw: the same seed makes the same images.',
  latents: (run) => `${several(run.latent, 'random number')}, the latent, go in; one pass of the network makes an image of them. The seed settles the numbers: the same seed makes the same images.`,
  noise: (run) => `An image starts as noise, and the network takes it away in ${several(run.steps, 'step')}. The seed settles the noise: the same seed makes the same images.`,
};

export class Sample {
  #engine;
  #root = document.getElementById('sample');
  #part = parts(this.#root);
  #form = this.#root.querySelector('form');
  #job = new Job(this.#root);
  #sheet = new Sheet(this.#part('sheet'));
  #run = null;

  constructor(engine) {
    this.#engine = engine;
    bind(this.#form, () => this.#form.requestSubmit());
    this.#form.onsubmit = (event) => {
      event.preventDefault();
      this.#draw();
    };
    this.#part('save').onclick = () => this.#sheet.picture().toBlob((blob) => download(blob, `${this.#run.name}.png`));
  }

  show(run) {
    this.#run = run;
    this.#root.hidden = false;
    this.#sheet.clear();
    this.#part('save').hidden = true;
    this.#part('about').textContent = ABOUT[run.draws](run);
    this.#job.say('');
    suit(this.#root, run);
    classes(this.#form.elements.label, run, 'any');
    this.#form.elements.steps.value = run.steps || 1;
    // Diffusion may take minutes on a CPU: that is for the visitor to ask for.
    if (run.draws !== 'noise') this.#draw();
  }

  hide() {
    this.#root.hidden = true;
    return this.#job.stop();
  }

  #options() {
    const noise = this.#run.draws === 'noise';
    return {
      count: whole(this.#form, 'count'),
      seed: whole(this.#form, 'seed'),
      label: this.#run.classes > 0 ? label(this.#form) : null,
      temperature: this.#run.draws === 'raster' ? Number(this.#form.elements.temperature.value) : 1,
      steps: noise ? whole(this.#form, 'steps') : null,
    };
  }

  #draw() {
    const run = this.#run;
    const options = this.#options();
    return this.#job.run('Drawing …', async (signal, tell) => {
      const progress = (images, done, total) => {
        tell(done, total);
        this.#sheet.show(run.dims, images, run.draws === 'raster' ? done / total : 1);
      };
      const images = await this.#engine.sample(run.name, options, { progress, signal });
      tell(1, 1);
      this.#sheet.show(run.dims, images);
      this.#part('save').hidden = false;
      return `${several(options.count, 'image')} by seed ${number(options.seed)}`;
    });
  }
}
