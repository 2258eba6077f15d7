// The page's side of the worker that hosts kiln's module. All messages there are:
//
// to the worker: {id, call, args, every}, a function of the module (calls run one behind the other; `every`: no word of its progress
// may be left out), and {stop: id}, upon which that call fails with 'stopped' or, training that has begun, resolves;
// from it: {id, told: [value, …]}, what a call says on its way, and {id, done: value} or {id, failed: words, dead}, how it ended (dead:
// the module is of no more use).
//
// Objects go to the module as JSON, and come from it so. Training would hold the queue for minutes: a call that comes meanwhile stops
// it, and who trains goes on when all is `quiet`.

const TRAINING = ['train', 'resume'];

/** What a call fails with that was asked to stop. */
export const STOPPED = 'stopped';

const worker = new Worker(new URL('worker.js', import.meta.url), { type: 'module' });
worker.onmessage = ({ data }) => hear(data);
worker.onerror = () => die('The worker that computes for this page could not be started.');
const calls = new Map();
let last = 0;
let broken = null;

/** Calls a function of the module. `told` hears what it says on its way, in full where `every` is; `signal` stops it. */
export async function ask(name, args, { told, signal, every = false } = {}) {
  if (broken) throw broken;
  if (signal?.aborted) throw STOPPED;
  if (!TRAINING.includes(name)) calls.forEach((other, id) => TRAINING.includes(other.name) && stop(id));
  const id = ++last;
  return new Promise((done, failed) => {
    calls.set(id, { name, told, done, failed });
    worker.postMessage({ id, call: name, args: args.map(toModule), every });
    signal?.addEventListener('abort', () => stop(id));
  });
}

/** Resolves when nothing has been asked of the worker for some milliseconds. */
export async function quiet(milliseconds) {
  for (let seen = -1; calls.size > 0 || seen !== last; ) {
    seen = last;
    await new Promise((later) => setTimeout(later, milliseconds));
  }
}

/** `work`, of which one runs at a time and only the newest arguments wait: what nobody wants to see any more is left out. */
export function newestOnly(work) {
  let running = false;
  let waiting = null;
  return async (...args) => {
    waiting = args;
    if (running) return;
    running = true;
    while (waiting) {
      const now = waiting;
      waiting = null;
      await work(...now);
    }
    running = false;
  };
}

function toModule(value) {
  return typeof value === 'object' && !ArrayBuffer.isView(value) ? JSON.stringify(value) : value;
}

function fromModule(value) {
  return typeof value === 'string' ? JSON.parse(value) : value;
}

function stop(id) {
  if (calls.has(id)) worker.postMessage({ stop: id });
}

function hear({ id, told, done, failed, dead }) {
  const call = calls.get(id);
  if (told) return call?.told?.(...told.map(fromModule));
  calls.delete(id);
  if (failed === undefined) call?.done(fromModule(done));
  else call?.failed(failed);
  if (dead) die(failed);
}

function die(words) {
  broken = words;
  for (const call of calls.values()) call.failed(words);
  calls.clear();
}
