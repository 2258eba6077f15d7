// Hosts the WebAssembly module, off the page's thread. engine.js says what the messages are.

const DRAWING = ['sample', 'complete'];
const TELLING = [...DRAWING, 'train', 'resume'];
const MILLISECONDS_A_PICTURE = 33;

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
      const done = copy(await kiln[asked.call](...asked.args, ...teller(asked)));
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
    throw 'The module, pkg/kiln.js and its WebAssembly, could not be loaded from beside this page.';
  }
}

/** Passes on what a call says. Pictures that come too fast to be looked at are left out, unless all are asked for. */
function teller({ id, call, every }) {
  if (!TELLING.includes(call)) return [];
  const all = every || !DRAWING.includes(call);
  let last = 0;
  return [
    (...told) => {
      const now = performance.now();
      if (!all && now - last < MILLISECONDS_A_PICTURE) return;
      last = now;
      told = told.map(copy);
      postMessage({ id, told }, buffers(told));
    },
  ];
}

/** A waiting call is dropped, a running one asked to end; one that has ended is left alone. */
function stop(id) {
  if (running?.id === id) return void (TELLING.includes(running.call) && kiln.stop());
  const at = queue.findIndex((asked) => asked.id === id);
  if (at >= 0) postMessage({ id: queue.splice(at, 1)[0].id, failed: 'stopped' });
}

/** What the module hands over may be a window into its memory. */
function copy(value) {
  return ArrayBuffer.isView(value) ? value.slice() : value;
}

function buffers(values) {
  return values.filter(ArrayBuffer.isView).map((value) => value.buffer);
}

/** The module rejects with sentences. Anything else is a fault in it, after which it cannot be trusted. */
function reason(error) {
  if (typeof error === 'string') return { failed: error };
  console.error(error);
  return { failed: 'The module met a fault of its own. Load the page again to go on.', dead: true };
}
