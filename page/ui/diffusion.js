// A chain of diffusion, of which every step is kept. The module computes a chain in one call, ahead of what is shown: 'One step' and
// 'Run' settle how far it is shown.

import { bind, classes, label, suit, whole } from './form.js';
import { Job, parts } from './job.js';
import { Film, Sheet } from './pixels.js';
import { number, several } from './words.js';

const MILLISECONDS_A_STEP = 70;

export class Diffusion {
  #engine;
  #root = document.getElementById('diffusion');
  #part = parts(this.#root);
  #form = this.#root.querySelector('form');
  #job = new Job(this.#root);
  #film = new Film(new Sheet(this.#part('sheet')), this.#part('film'), 1001);
  #run = null;
  #chain = null;
  #frames = [];
  #shown = 0;
  #wanted = 0;
  #playing = 0;

  constructor(engine) {
    this.#engine = engine;
    bind(this.#form, () => this.#part('anew').click());
    this.#form.onsubmit = (event) => {
      event.preventDefault();
      this.#play();
    };
    this.#part('one').onclick = () => this.#one();
    this.#part('stop').addEventListener('click', () => this.#pause());
    this.#part('anew').onclick = () => {
      if (!this.#form.reportValidity()) return;
      this.#rewind();
      this.#one();
    };
  }

  show(run) {
    this.#run = run;
    this.#root.hidden = false;
    this.#chain = null;
    this.#frames = [];
    this.#rewind();
    this.#job.say('');
    suit(this.#root, run);
    classes(this.#form.elements.label, run, 'any');
    this.#form.elements.steps.value = run.steps;
  }

  hide() {
    this.#root.hidden = true;
    this.#pause();
    return this.#job.stop();
  }

  #options() {
    return {
      count: whole(this.#form, 'count'),
      seed: whole(this.#form, 'seed'),
      label: this.#run.classes > 0 ? label(this.#form) : null,
      temperature: 1,
      steps: whole(this.#form, 'steps'),
    };
  }

  /** Back before the first step; what is computed of this chain stays. */
  #rewind() {
    this.#pause();
    this.#film.clear();
    this.#shown = this.#wanted = 0;
  }

  #one() {
    if (!this.#form.reportValidity()) return;
    this.#pause();
    this.#begin();
    if (this.#ended) return this.#job.say('That was the last step. Another seed begins another chain.');
    this.#wanted = this.#shown + 1;
    this.#reveal();
  }

  #play() {
    this.#pause();
    this.#begin();
    if (this.#ended) this.#rewind();
    this.#playing = setInterval(() => {
      if (this.#shown < this.#frames.length) this.#wanted = this.#shown + 1;
      this.#reveal();
      if (this.#ended || (!this.#job.running && this.#shown === this.#frames.length)) this.#pause();
    }, MILLISECONDS_A_STEP);
    this.#part('stop').disabled = false;
  }

  #pause() {
    clearInterval(this.#playing);
    this.#playing = 0;
    this.#wanted = Math.min(this.#wanted, this.#shown);
    if (!this.#job.running) this.#part('stop').disabled = true;
  }

  get #ended() {
    return this.#shown > 0 && this.#shown === this.#frames.length && this.#frames.at(-1).last;
  }

  /** Shows what is wanted, as far as it is computed. */
  #reveal() {
    while (this.#shown < Math.min(this.#wanted, this.#frames.length)) {
      const { name, images } = this.#frames[this.#shown++];
      this.#film.add(name, this.#run.dims, images, true);
    }
  }

  /** Computes the chain that the form describes, unless it is there already or on its way. */
  #begin() {
    const options = this.#options();
    const chain = JSON.stringify(options);
    if (chain !== this.#chain) {
      this.#chain = chain;
      this.#frames = [];
      this.#rewind();
    } else if (this.#job.running || this.#frames.at(-1)?.last) return;
    this.#compute(options);
  }

  #compute(options) {
    const run = this.#run;
    const chain = this.#chain;
    return this.#job.run('The chain is being computed …', async (signal) => {
      // After a stop the chain is computed again from its seed, and what is known of it goes by.
      let heard = 0;
      const progress = (images, done, total) => {
        if (chain !== this.#chain || heard++ < this.#frames.length) return;
        this.#frames.push({ name: `${number(done)} of ${number(total)}`, images, last: done === total });
        this.#reveal();
      };
      await this.#engine.sample(run.name, options, { progress, signal, every: true });
      return `${several(options.count, 'chain')} of ${several(options.steps, 'step')} computed by seed ${number(options.seed)}`;
    });
  }
}
