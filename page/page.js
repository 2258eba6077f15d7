// Starts kiln, offers the runs that lie beside the page, and hands the chosen one to the sections.

import { ask, STOPPED } from './engine.js';
import * as diffusion from './ui/diffusion.js';
import * as draw from './ui/draw.js';
import * as latent from './ui/latent.js';
import * as sample from './ui/sample.js';
import { job, parts } from './ui/section.js';
import './ui/train.js';
import * as words from './ui/words.js';

const SECTIONS = { raster: [sample, draw], latents: [sample, latent], noise: [sample, diffusion] };
const part = parts(document);
const work = job(document.getElementById('runs'));
const known = new Map();
const asked = new URLSearchParams(location.search).get('device') ?? 'auto';

part('device').textContent = 'kiln is starting …';
ask('open', [asked]).then(named).then(sayDevice, sayNoDevice);
offerRuns();

/** Most browsers keep an adapter's name to themselves, and tell whose it is. */
async function named(device) {
  if (device.name) return device;
  const { vendor = '', architecture = '' } = (await navigator.gpu?.requestAdapter())?.info ?? {};
  return { ...device, name: `${vendor} ${architecture}`.trim() || 'a GPU that is not named' };
}

function sayDevice(device) {
  part('device').textContent = words.device(device, asked);
  part('other').hidden = asked === 'auto' && device.backend === 'cpu';
  if (asked === 'cpu') Object.assign(part('other'), { href: '?', textContent: 'Use WebGPU if there is one' });
}

function sayNoDevice(error) {
  part('device').textContent = words.sentence(error);
  part('device').className = 'error';
  part('other').hidden = asked === 'cpu';
}

async function offerRuns() {
  const { kiln = '', runs } = await list().catch((error) => (work.fail(words.sentence(error)), { runs: [] }));
  part('version').textContent = kiln;
  part('none').hidden = runs.length > 0;
  part('runs').hidden = runs.length === 0;
  part('runs').append(...runs.map(card));
  part('runs').querySelector('input')?.click();
}

/** What lies beside the page; nothing where there is no list. */
async function list() {
  const answer = await fetch('runs/index.json').catch(() => null);
  if (answer?.status === 404) return { runs: [] };
  const found = await answer?.json().catch(() => null);
  if (!found?.runs?.every?.((run) => run?.name && run?.folder)) throw 'The list of runs, runs/index.json, could not be read; kiln page writes it anew once it is removed.';
  return found;
}

function card(run) {
  const label = document.createElement('label');
  label.innerHTML = '<input type="radio" name="run"><strong></strong>';
  label.firstChild.onchange = () => choose(run);
  label.lastChild.textContent = run.name;
  label.append(run.about);
  return label;
}

/** Shows a run. Arrow keys choose each run on their way: only the last is loaded to the end. */
function choose(run) {
  const hidden = Object.values(SECTIONS).flat().map((section) => section.hide());
  work.run(`Loading ${run.name} …`, async (signal) => {
    await Promise.all(hidden);
    if (!known.has(run.name)) known.set(run.name, await load(run, signal));
    if (signal.aborted) throw STOPPED;
    const about = known.get(run.name);
    work.say(describe(about));
    for (const section of SECTIONS[about.draws] ?? []) section.show(about);
  });
}

async function load({ name, folder }, signal) {
  const files = ['recipe.toml', 'weights.safetensors'].map((file) => bytes(`runs/${encodeURIComponent(folder)}/${file}`, signal));
  const [recipe, weights] = await Promise.all(files);
  return ask('load', [name, new TextDecoder().decode(recipe), weights]);
}

async function bytes(address, signal) {
  let why = 'the connection failed';
  try {
    const answer = await fetch(address, { signal });
    if (answer.ok) return new Uint8Array(await answer.arrayBuffer());
    why = `the server answered ${answer.status}`;
  } catch {
    if (signal.aborted) throw STOPPED;
  }
  throw `The file ${address} could not be fetched: ${why}.`;
}

function describe(run) {
  const [height, width, channels] = run.dims;
  const classes = run.classes > 0 ? `, ${run.classes} classes` : '';
  return `${run.model}: ${words.number(run.parameters)} parameters, trained ${words.several(run.trained_steps, 'step')} on ${run.trained_on}; ${width} × ${height} pixels, ${channels < 3 ? 'grey' : 'colour'}${classes}.`;
}
