// Trains a small model here, shows how it gets on, and hands over its run folder.

import { STOPPED } from '../engine.js';
import { Chart } from './chart.js';
import { bind, download, whole } from './form.js';
import { Job, parts } from './job.js';
import { Film, Sheet } from './pixels.js';
import { number, several, time } from './words.js';

const MODELS = {
  vae: { steps: 1500, batch: 64, every: 100, about: 'An encoder and a decoder around a small latent; the loss is a bound of −log p.' },
  pixelcnn: { steps: 600, batch: 16, every: 100, about: 'Masked convolutions that predict each pixel from those before it; the loss is −log p itself.' },
  dcgan: { steps: 600, batch: 32, every: 50, about: 'A generator against a discriminator; neither loss says how good the images are.' },
};
const MILLISECONDS_OF_QUIET = 700;

export class Train {
  #engine;
  #root = document.getElementById('train');
  #part = parts(this.#root);
  #form = this.#root.querySelector('form');
  #job = new Job(this.#root.querySelector('.bench'));
  #chart = new Chart(this.#part('chart'));
  #film = new Film(new Sheet(this.#part('sheet')), this.#part('film'), 240);
  #drawn;
  #request = null;
  #dims = [28, 28, 1];
  #step = 0;
  #figures = { scheduled: 0, words: '' };

  constructor(engine) {
    this.#engine = engine;
    this.#drawn = new Drawn(engine, this.#part('drawn'), () => this.#dims);
    this.#form.elements.model.onchange = () => this.#suggest();
    this.#form.onsubmit = (event) => {
      event.preventDefault();
      this.#anew();
    };
    this.#part('pause').onclick = () => (this.#job.running ? this.#pause() : this.#go(true));
    this.#part('zip').onclick = () => this.#zip();
    addEventListener('beforeunload', (event) => this.#job.running && event.preventDefault());
    this.#suggest();
  }

  #suggest() {
    const { model, steps, batch, sample_every: every } = this.#form.elements;
    const suggested = MODELS[model.value];
    [steps.value, batch.value, every.value] = [suggested.steps, suggested.batch, suggested.every];
    this.#part('about').textContent = suggested.about;
  }

  #anew() {
    const rate = this.#form.elements.learning_rate.value;
    this.#request = { model: this.#form.elements.model.value, learning_rate: rate === '' ? null : Number(rate) };
    for (const name of ['steps', 'batch', 'seed', 'sample_every']) this.#request[name] = whole(this.#form, name);
    this.#step = 0;
    this.#chart.clear();
    this.#film.clear();
    this.#drawn.hide();
    this.#part('said').replaceChildren();
    this.#part('film-box').hidden = true;
    this.#go(false);
  }

  #pause() {
    this.#job.say('Pausing …');
    this.#job.stop();
  }

  /** Trains, or goes on, until it has finished or the visitor pauses it; what other sections want comes in between. */
  async #go(begun) {
    this.#running(true);
    let finished = false;
    const ended = await this.#job.run('Training …', async (signal, tell) => {
      for (;;) {
        const outcome = await this.#once(begun, signal, tell);
        begun ||= outcome.begun;
        finished = !outcome.stopped;
        if (finished) return void this.#job.say(`Finished: ${several(this.#request.steps, 'step')}, ${number(Math.round(outcome.items_per_s))} images a second.`);
        if (signal.aborted) return void this.#job.say(`Paused after ${several(this.#step, 'step')}.`);
        this.#job.say('Training waits while another section computes …');
        await this.#engine.quiet(MILLISECONDS_OF_QUIET);
        this.#job.say('Training …');
      }
    });
    this.#running(false, begun && ended && !finished);
    if (this.#step > 0) this.#drawn.show();
  }

  /** One call of the module. What was asked to stop before its turn has not begun. */
  async #once(begun, signal, tell) {
    const told = (event, images) => this.#hear(event, images, tell);
    try {
      const outcome = begun ? await this.#engine.resume({ told, signal }) : await this.#engine.train(this.#request, { told, signal });
      return { ...outcome, begun: true };
    } catch (error) {
      if (error !== STOPPED) throw error;
      return { stopped: true, begun };
    }
  }

  #hear(event, images, tell) {
    if (event.kind === 'metrics') this.#chart.add(event.step, event.values, event.units);
    if (event.kind === 'metrics' || event.kind === 'step') this.#advance(event, tell);
    if (event.kind === 'say') this.#part('said').append(Object.assign(document.createElement('li'), { textContent: event.words }));
    if (event.kind === 'samples') {
      this.#dims = event.dims;
      this.#part('film-box').hidden = false;
      this.#film.add(number(event.step), event.dims, images);
    }
  }

  #advance({ step, items_per_s: speed }, tell) {
    const { steps, batch } = this.#request;
    this.#step = step;
    tell(step, steps);
    if (!speed) return;
    const left = ((steps - step) * batch) / speed;
    this.#figures.words = `Step ${number(step)} of ${number(steps)} · ${number(Math.round(speed))} images/s${left > 0 ? ` · about ${time(left)} left` : ''}`;
    this.#figures.scheduled ||= setTimeout(() => {
      this.#figures.scheduled = 0;
      this.#part('figures').textContent = this.#figures.words;
    }, 250);
  }

  #running(running, paused = false) {
    for (const field of this.#form.querySelectorAll('input, select')) field.disabled = running;
    this.#part('go').disabled = running;
    this.#part('go').textContent = this.#step > 0 ? 'Train anew' : 'Train';
    this.#part('pause').disabled = !running && !paused;
    this.#part('pause').textContent = paused ? 'Go on' : 'Pause';
    this.#part('zip').disabled = !running && this.#step === 0;
  }

  async #zip() {
    try {
      const bytes = await this.#engine.archive();
      download(new Blob([bytes], { type: 'application/zip' }), `kiln-${this.#request.model}-${this.#step}.zip`);
      this.#job.fail(null);
    } catch (error) {
      this.#job.fail(error === STOPPED ? null : String(error));
    }
  }
}

/** Samples of the model in training, as far as it is. */
class Drawn {
  #engine;
  #form;
  #job;
  #sheet;
  #dims;

  constructor(engine, form, dims) {
    this.#engine = engine;
    this.#form = form;
    this.#dims = dims;
    this.#job = new Job(form);
    this.#sheet = new Sheet(parts(form)('sheet'));
    bind(form, () => form.requestSubmit());
    form.onsubmit = (event) => {
      event.preventDefault();
      this.#draw();
    };
  }

  show() {
    this.#form.hidden = false;
  }

  hide() {
    this.#form.hidden = true;
    this.#sheet.clear();
    this.#job.say('');
  }

  #draw() {
    const [count, seed] = [whole(this.#form, 'count'), whole(this.#form, 'seed')];
    return this.#job.run('Drawing …', async () => {
      this.#sheet.show(this.#dims(), await this.#engine.drawn(count, seed));
      return `${several(count, 'image')} by seed ${number(seed)}`;
    });
  }
}
