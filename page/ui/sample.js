// Samples of a run by their seed.

import { ask } from '../engine.js';
import { sheet } from './pixels.js';
import { options, section } from './section.js';
import { number, several } from './words.js';

const ABOUT = {
  raster: () => 'The model goes through an image row by row and draws each pixel from a distribution that depends on those before it.',
  latents: (run) => `${several(run.latent, 'random number')}, the latent, go in, and one pass of the network makes an image of them.`,
  noise: (run) => `An image starts as noise, and the network takes it away in ${several(run.steps, 'step')}.`,
};

const here = section('sample', draw);
const { part, form, work } = here;
const images = sheet(part('sheet'));
let run = null;

export const { hide } = here;

export function show(shown) {
  run = shown;
  here.show(run);
  images.clear();
  part('about').textContent = `${ABOUT[run.draws](run)} The seed settles every draw: the same seed, the same images.`;
  // Diffusion may take minutes on a CPU: that is for the visitor to ask for.
  if (run.draws !== 'noise') draw();
}

function draw() {
  const { name, dims, draws } = run;
  const asked = options(form);
  work.run('Drawing …', async (signal, progress) => {
    const told = (drawn, done, total) => {
      progress(done, total);
      images.show(dims, drawn, draws === 'raster' ? done / total : 1);
    };
    images.show(dims, await ask('sample', [name, asked], { told, signal }));
    return `${several(asked.count, 'image')} by seed ${number(asked.seed)}`;
  });
}
