// Starts kiln, offers the runs that lie beside the page, and hands the chosen one to the sections.

import { Engine } from './engine.js';
import { Diffusion } from './ui/diffusion.js';
import { Draw } from './ui/draw.js';
import { Job } from './ui/job.js';
import { Latent } from './ui/latent.js';
import { Sample } from './ui/sample.js';
import { Train } from './ui/train.js';
import * as words from './ui/words.js';

const byId = (id) => document.getElementById(id);
const engine = new Engine();
const sections = { sample: new Sample(engine), draw: new Draw(engine), latent: new Latent(engine), diffusion: new Diffusion(engine) };
const SECTIONS_OF = { raster: ['sample', 'draw'], latents: ['sample', 'latent'], noise: ['sample', 'diffusion'] };

const job = new Job(byId('runs'));
const known = new Map();
let chosen = null;

new Train(engine);
start();

async function start() {
  const asked = new URLSearchParams(location.search).get('device') === 'cpu' ? 'cpu' : 'auto';
  try {
    const device = await engine.open(asked);
    byId('device').textContent = words.device(device, asked);
    offerOtherDevice(device, asked);
  } catch (error) {
    byId('device').textContent = 'Nothing can be computed here.';
    byId('device-error').textContent = words.sentence(error);
    byId('device-error').hidden = false;
    offerOtherDevice({ backend: '' }, asked);
  }
  await offerRuns();
}

function offerOtherDevice({ backend }, asked) {
  if (asked === 'auto' && backend === 'cpu') return;
  const [address, name] = asked === 'cpu' ? ['?', 'Use WebGPU if there is one'] : ['?device=cpu', 'Use the CPU instead'];
  const link = Object.assign(document.createElement('a'), { href: address, textContent: name });
  byId('device-other').replaceChildren(link);
  byId('device-other').hidden = false;
}

async function offerRuns() {
  let index;
  try {
    const answer = await fetch('runs/index.json');
    if (!answer.ok) throw new Error(answer.statusText);
    index = await answer.json();
  } catch {
    index = { runs: [] };
  }
  byId('version').textContent = index.kiln ?? '';
  if (index.runs.length === 0) {
    byId('runs-about').replaceChildren('No trained runs were put beside this page; ', code('kiln page RUN --out DIR'), ' does. One can be trained below all the same.');
    return;
  }
  byId('runs-list').append(...index.runs.map(card));
  byId('runs-list').hidden = false;
  byId('runs-list').querySelector('input').click();
}

function code(text) {
  return Object.assign(document.createElement('code'), { textContent: text });
}

function card(run) {
  const input = Object.assign(document.createElement('input'), { type: 'radio', name: 'run', value: run.folder });
  input.onchange = () => choose(run);
  const name = Object.assign(document.createElement('strong'), { textContent: run.name });
  const about = Object.assign(document.createElement('span'), { textContent: run.about });
  const label = document.createElement('label');
  label.className = 'card';
  label.append(input, name, about);
  return label;
}

/** Shows a run. Who goes through the list with arrow keys chooses each on the way: only the last is of interest. */
async function choose(run) {
  chosen = run;
  job.stop();
  await Promise.all(Object.values(sections).map((section) => section.hide()));
  await job.run(`Loading ${run.name} …`, async (signal) => {
    const about = known.get(run.name) ?? (await load(run, signal));
    known.set(run.name, about);
    if (chosen !== run) return;
    job.say(describe(about));
    for (const name of SECTIONS_OF[about.draws] ?? []) sections[name].show(about);
  });
}

async function load(run, signal) {
  const bar = byId('runs-progress');
  bar.hidden = false;
  try {
    const [recipe, weights] = await Promise.all([file(run, 'recipe.toml', signal), file(run, 'weights.safetensors', signal, (share) => (bar.value = share))]);
    return await engine.load(run.name, new TextDecoder().decode(recipe), weights);
  } finally {
    bar.hidden = true;
  }
}

/** The bytes of a run's file. */
async function file(run, name, signal, progress) {
  const address = `runs/${encodeURIComponent(run.folder)}/${name}`;
  const missing = (why) => `${address} could not be fetched: ${why}.`;
  try {
    const answer = await fetch(address, { signal });
    if (!answer.ok) throw missing(`the server answered ${answer.status}`);
    const length = Number(answer.headers.get('content-length'));
    const pieces = [];
    let held = 0;
    for (const reader = answer.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      pieces.push(value);
      held += value.length;
      if (length > 0) progress?.(Math.min(1, held / length));
    }
    return new Uint8Array(await new Blob(pieces).arrayBuffer());
  } catch (error) {
    if (signal.aborted) throw 'stopped';
    throw typeof error === 'string' ? error : missing('the connection failed');
  }
}

function describe(run) {
  const given = run.classes > 0 ? `, conditional on ${run.classes} classes` : '';
  return `${run.model}: ${words.number(run.parameters)} parameters, trained ${words.several(run.trained_steps, 'step')} on ${run.trained_on}; images of ${words.size(run.dims)}${given}.`;
}
