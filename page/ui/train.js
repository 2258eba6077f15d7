// Trains a small model here, shows how it gets on, and hands over its run folder.

import { ask, quiet, STOPPED } from '../engine.js';
import { chart } from './chart.js';
import { film, sheet } from './pixels.js';
import { bind, job, options, parts } from './section.js';
import { number, sentence, several, time } from './words.js';

const MODELS = {
  vae: { steps: 1500, batch: 64, sample_every: 100, about: 'An encoder and a decoder around a small latent; the loss is a bound of −log p.' },
  pixelcnn: { steps: 1000, batch: 16, sample_every: 100, about: 'Masked convolutions that predict each pixel from those before it; the loss is −log p itself.' },
  dcgan: { steps: 1500, batch: 32, sample_every: 100, about: 'A generator against a discriminator; neither loss says how good the images are.' },
};
const MILLISECONDS_OF_QUIET = 700;

const root = document.getElementById('train');
const part = parts(root);
const [form, drawing] = root.querySelectorAll('form');
const work = job(root);
const curves = chart(part('chart'));
const samples = film(sheet(part('sheet')), part('film'));
const drawn = job(drawing);
const images = sheet(parts(drawing)('sheet'));
let request = null;
let dims = [28, 28, 1];
let step = 0;
bind(form, anew);
bind(drawing, draw);
form.elements.model.onchange = suggest;
part('pause').onclick = pause;
part('zip').onclick = zip;
suggest();

function suggest() {
  const { about, ...numbers } = MODELS[form.elements.model.value];
  for (const [name, value] of Object.entries(numbers)) form.elements[name].value = value;
  part('about').textContent = about;
}

function anew() {
  request = Object.fromEntries(Array.from(new FormData(form), ([name, value]) => [name, name === 'model' ? value : value === '' ? null : Number(value)]));
  step = 0;
  curves.clear();
  samples.clear();
  part('said').replaceChildren();
  part('figures').textContent = '';
  drawing.hidden = true;
  go(false);
}

function pause() {
  if (!work.running()) return go(true);
  work.say('Pausing …');
  work.stop();
}

/** Trains, or goes on, to the end or a pause. What other sections want is done in between. */
async function go(begun) {
  let finished = false;
  state(true, false);
  const ended = await work.run('Training …', async (signal, progress) => {
    for (;;) {
      const outcome = await once(begun, signal, progress);
      begun ||= outcome.begun;
      finished = !outcome.stopped;
      if (finished) return void work.say(`Finished: ${several(request.steps, 'step')}, ${number(Math.round(outcome.items_per_s))} images a second.`);
      if (signal.aborted) return void work.say(`Paused after ${several(step, 'step')}.`);
      work.say('Training waits for something else …');
      await quiet(MILLISECONDS_OF_QUIET);
      work.say('Training …');
    }
  });
  state(false, begun && ended && !finished);
  // What failed has no weights that are worth having.
  if (!ended) part('zip').disabled = drawing.hidden = true;
}

/** One call of the module. What was asked to stop before its turn has not begun. */
async function once(begun, signal, progress) {
  const told = (event, images) => hear(event, images, progress);
  try {
    return { begun: true, ...(await ask(begun ? 'resume' : 'train', begun ? [] : [request], { told, signal })) };
  } catch (error) {
    if (error !== STOPPED) throw error;
    return { begun, stopped: true };
  }
}

function hear({ kind, words, values, units, items_per_s: speed, ...event }, images, progress) {
  step = event.step ?? step;
  progress(step, request.steps);
  if (kind === 'say') part('said').append(Object.assign(document.createElement('li'), { textContent: words }));
  if (kind === 'samples') samples.add(number(step), (dims = event.dims), images);
  if (kind !== 'metrics') return;
  curves.add(step, values, units);
  const left = ((request.steps - step) * request.batch) / speed;
  part('figures').textContent = `Step ${number(step)} of ${number(request.steps)} · ${number(Math.round(speed))} images/s${left > 0 ? ` · about ${time(left)} left` : ''}`;
}

/** Which buttons there are to press. */
function state(running, paused) {
  for (const field of form.querySelectorAll('input, select')) field.disabled = running;
  part('go').disabled = running;
  part('go').textContent = step > 0 ? 'Train anew' : 'Train';
  part('pause').disabled = !running && !paused;
  part('pause').textContent = paused ? 'Go on' : 'Pause';
  part('zip').disabled = step === 0 && !running;
  drawing.hidden = step === 0;
}

async function zip() {
  try {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([await ask('archive', [])], { type: 'application/zip' }));
    link.download = `kiln-${request.model}-${step}.zip`;
    link.click();
    work.fail('');
  } catch (error) {
    work.fail(sentence(error));
  }
}

/** Samples of the model in training, as far as it is. */
function draw() {
  const { count, seed } = options(drawing);
  drawn.run('Drawing …', async () => {
    images.show(dims, await ask('drawn', [count, seed]));
    return `${several(count, 'image')} by seed ${number(seed)}`;
  });
}
