// Hosts the WebAssembly module, off the page's thread. engine.js says what the messages are.

const TELLING = new Set(['sample', 'complete', 'train', 'resume']);
const MILLISECONDS_BETWEEN_WORDS = 33;

const queue = [];
let kiln = null;
let running = null;
let working = false;

onmessage = ({ data }) => {
  if ('stop' in data) return stop(data.stop);
  queue.push(data);
  if (!working) work();
};

async function work() {
  working = true;
  while (queue.length > 0) {
    const asked = queue.shift();
    try {
      kiln ??= await start();
      running = asked;
      const done = await answer(asked);
      postMessage({ id: asked.id, done }, buffers([done]));
    } catch (error) {
      postMessage({ id: asked.id, ...reason(error) });
    }
    running = null;
  }
  working = false;
}

async function start() {
  try {
    const module = await import('./pkg/kiln.js');
    await module.default();
    return module;
  } catch (error) {
    console.error(error);
    throw 'kiln itself, pkg/kiln.js and its WebAssembly, could not be loaded from beside this page.';
  }
}

async function answer({ id, call, args, every }) {
  const telling = TELLING.has(call) ? [teller(id, call, every)] : [];
  return own(await kiln[call](...args, ...telling));
}

/** Passes on what a call says. Pictures of progress that come faster than screens show them are left out; the result holds the last. */
function teller(id, call, every) {
  const all = every || call === 'train' || call === 'resume';
  let last = 0;
  return (...told) => {
    const now = performance.now();
    if (!all && now - last < MILLISECONDS_BETWEEN_WORDS) return;
    last = now;
    // What the module hands over may be a window into its memory.
    const copies = told.map((value) => (ArrayBuffer.isView(value) ? value.slice() : value));
    postMessage({ id, told: copies }, buffers(copies));
  };
}

/** A waiting call is dropped; a running one is asked to end. One that has ended already is not the module's to stop. */
function stop(id) {
  if (running?.id === id) return void (TELLING.has(running.call) && kiln.stop());
  const at = queue.findIndex((asked) => asked.id === id);
  if (at < 0) return;
  queue.splice(at, 1);
  postMessage({ id, failed: 'stopped' });
}

function own(value) {
  const window = ArrayBuffer.isView(value) && value.byteLength < value.buffer.byteLength;
  return window ? value.slice() : value;
}

function buffers(values) {
  return values.filter(ArrayBuffer.isView).map((value) => value.buffer);
}

/** The module rejects with sentences. Anything else is a fault in it, after which its memory is not to be trusted. */
function reason(error) {
  if (typeof error === 'string') return { failed: error };
  console.error(error);
  return { failed: 'kiln met a fault of its own and has stopped. Load the page again to go on.', dead: true };
}
