// The page's side of the worker that hosts kiln. The messages, all of them:
//
//   to the worker    {id, call, args, every}     a function of the module; calls run one behind the other. `every`: no word of
//                                                its progress may be left out
//                    {stop: id}                  that call is to end: it fails with 'stopped', or, training, says so and resolves
//   from the worker  {id, told: [value, …]}      what a call says on its way
//                    {id, done: value}           how it ended,
//                    {id, failed: sentence, dead}  or why it did not; dead: the module cannot be used any more
//
// Training would hold the queue for minutes. So a call that comes meanwhile stops it, and whoever trains resumes when the engine is
// quiet again (`quiet`).

const TRAINING = new Set(['train', 'resume']);

/** What a call fails with that was asked to stop. */
export const STOPPED = 'stopped';

export class Engine {
  #worker = new Worker(new URL('worker.js', import.meta.url), { type: 'module' });
  #calls = new Map();
  #last = 0;
  #dead = null;

  constructor() {
    this.#worker.onmessage = ({ data }) => this.#hear(data);
    this.#worker.onerror = () => this.#die('The worker that computes for this page could not be started.');
  }

  /** Opens a device, 'auto' or 'cpu': {name, backend, software}. */
  async open(device) {
    return JSON.parse(await this.#call('open', [device]));
  }

  /** Makes a run known by its name: {model, dims, classes, draws, …}. */
  async load(name, recipe, weights) {
    return JSON.parse(await this.#call('load', [name, recipe, weights]));
  }

  /** Images of a run, `[count, h, w, c]`; `progress(images, done, total)` on the way. */
  sample(name, options, { progress, signal, every } = {}) {
    return this.#call('sample', [name, JSON.stringify(options)], { told: progress, signal, every });
  }

  /** Images that are `values` where `kept` is 1, and the model's where it is 0. */
  complete(name, options, kept, values, { progress, signal } = {}) {
    return this.#call('complete', [name, JSON.stringify(options), kept, values], { told: progress, signal });
  }

  /** The images of some latents, `[n, latent]`; a label of −1 is none. */
  decode(name, z, label) {
    return this.#call('decode', [name, z, label]);
  }

  /** Trains; `told(event, images)`. {step, stopped, items_per_s} when it has finished or was stopped. */
  async train(request, options) {
    return JSON.parse(await this.#train('train', [JSON.stringify(request)], options));
  }

  /** Goes on with what was stopped. */
  async resume(options) {
    return JSON.parse(await this.#train('resume', [], options));
  }

  /** Images of the model in training. */
  drawn(count, seed) {
    return this.#call('drawn', [count, seed]);
  }

  /** The run folder of the training, as a .zip. */
  archive() {
    return this.#call('archive', []);
  }

  /** Resolves when nothing has been asked of the worker for some milliseconds. */
  async quiet(milliseconds) {
    for (let seen = -1; this.#calls.size > 0 || seen !== this.#last; ) {
      seen = this.#last;
      await new Promise((later) => setTimeout(later, milliseconds));
    }
  }

  #train(call, args, { told, signal }) {
    return this.#call(call, args, { told: (event, images) => told(JSON.parse(event), images), signal });
  }

  #call(call, args, { told, signal, every = false } = {}) {
    if (this.#dead) return Promise.reject(this.#dead);
    if (signal?.aborted) return Promise.reject(STOPPED);
    if (!TRAINING.has(call)) this.#interruptTraining();
    const id = ++this.#last;
    return new Promise((done, failed) => {
      this.#calls.set(id, { call, told, done, failed });
      this.#worker.postMessage({ id, call, args, every });
      signal?.addEventListener('abort', () => this.#calls.has(id) && this.#worker.postMessage({ stop: id }));
    });
  }

  #interruptTraining() {
    for (const [id, { call }] of this.#calls) if (TRAINING.has(call)) this.#worker.postMessage({ stop: id });
  }

  #hear({ id, told, done, failed, dead }) {
    const call = this.#calls.get(id);
    if (!call) return;
    if (told) return call.told?.(...told);
    this.#calls.delete(id);
    if (dead) this.#die(failed);
    if (failed === undefined) call.done(done);
    else call.failed(failed);
  }

  #die(sentence) {
    this.#dead = sentence;
    for (const call of this.#calls.values()) call.failed(sentence);
    this.#calls.clear();
  }
}

/** `work`, of which one runs at a time and only the newest arguments wait: what nobody wants to see any more is left out. */
export function newestOnly(work) {
  let running = false;
  let waiting = null;
  return async function ask(...args) {
    waiting = args;
    if (running) return;
    running = true;
    try {
      while (waiting) {
        const now = waiting;
        waiting = null;
        await work(...now);
      }
    } finally {
      running = false;
    }
  };
}
