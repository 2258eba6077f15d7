// One piece of work at a time in a part of the page: its buttons, its progress, what is said of it, and what went wrong.

import { sentence, time } from './words.js';

/** The parts of an element by their marks: `part('go')` is `[data-go]`. */
export function parts(root) {
  return (name) => root.querySelector(`[data-${name}]`);
}

export class Job {
  #root;
  #abort = null;
  #ended = Promise.resolve();
  #turn = 0;

  constructor(root) {
    this.#root = root;
    const stop = root.querySelector('[data-stop]');
    if (stop) stop.onclick = () => this.stop();
  }

  get running() {
    return this.#abort !== null;
  }

  /** Asks what runs to end, and lets go of what waits; resolves when it has ended. */
  stop() {
    this.#turn++;
    this.#abort?.abort();
    return this.#ended;
  }

  /** Says something where screen readers hear it. */
  say(words) {
    this.#root.querySelector('.status').textContent = words;
  }

  /** Shows a sentence on what went wrong, or none. */
  fail(words) {
    const error = this.#root.querySelector('.error');
    error.textContent = words ?? '';
    error.hidden = !words;
  }

  /**
   * Runs `work(signal, progress)` once what runs before it has ended, unless something newer is asked for meanwhile. What it returns
   * is said, with the time it took; true when it came to its end.
   */
  async run(began, work) {
    const before = this.stop();
    const turn = this.#turn;
    await before;
    if (turn !== this.#turn) return false;
    const abort = (this.#abort = new AbortController());
    let ended;
    this.#ended = new Promise((resolve) => (ended = resolve));
    this.#busy(true);
    this.fail(null);
    this.say(began);
    const start = performance.now();
    try {
      const words = await work(abort.signal, (done, total) => this.#progress(done / total));
      if (words) this.say(`${words} in ${time((performance.now() - start) / 1000)}.`);
      return true;
    } catch (error) {
      const words = sentence(error);
      this.fail(words);
      this.say(words ? '' : 'Stopped.');
      return false;
    } finally {
      this.#abort = null;
      this.#busy(false);
      ended();
    }
  }

  #progress(share) {
    const bar = this.#root.querySelector('progress');
    if (bar) bar.value = share;
  }

  #busy(busy) {
    const stop = this.#root.querySelector('[data-stop]');
    if (stop) stop.disabled = !busy;
    this.#root.toggleAttribute('data-busy', busy);
    if (busy) this.#progress(0);
  }
}
