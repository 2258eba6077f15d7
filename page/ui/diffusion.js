// A chain of diffusion, step by step. The module computes all of it in one call; 'One step' and 'Run' settle how far it is shown.

import { ask } from '../engine.js';
import { film, sheet } from './pixels.js';
import { options, section } from './section.js';
import { number, several } from './words.js';

const MILLISECONDS_A_STEP = 70;

const here = section('diffusion', play);
const { part, form, work } = here;
const shown = film(sheet(part('sheet')), part('film'));
let run = null;
let chain = '';
let frames = [];
let seen = 0;
let wanted = 0;
let playing = 0;
part('stop').addEventListener('click', pause);
part('one').onclick = () => form.reportValidity() && one();

export function show(of) {
  run = of;
  here.show(run);
  chain = '';
  rewind();
}

export function hide() {
  pause();
  return here.hide();
}

/** Back before the first step. What is computed of the chain stays. */
function rewind() {
  pause();
  shown.clear();
  seen = wanted = 0;
}

function one() {
  pause();
  begin();
  if (ended()) return work.say('That was the last step. Another seed begins another chain.');
  wanted = seen + 1;
  reveal();
}

function play() {
  pause();
  begin();
  if (ended()) rewind();
  part('stop').disabled = false;
  playing = setInterval(() => {
    wanted = Math.min(seen + 1, frames.length);
    reveal();
    if (ended() || (!work.running() && seen === frames.length)) pause();
  }, MILLISECONDS_A_STEP);
}

function pause() {
  clearInterval(playing);
  part('stop').disabled = !work.running();
}

function ended() {
  return seen > 0 && seen === frames.length && frames.at(-1).last;
}

/** Shows what is wanted, as far as it is computed. */
function reveal() {
  while (seen < Math.min(wanted, frames.length)) {
    const { name, drawn } = frames[seen++];
    shown.add(name, run.dims, drawn, true);
  }
}

/** Has the chain computed that the form describes, unless it is there already or on its way. */
function begin() {
  const asked = options(form);
  if (JSON.stringify(asked) !== chain) {
    chain = JSON.stringify(asked);
    frames = [];
    rewind();
  } else if (work.running() || frames.at(-1)?.last) return;
  compute(asked, chain);
}

function compute(asked, mine) {
  const { name } = run;
  work.run('The chain is being computed …', async (signal) => {
    // After a stop the chain is computed again from its seed; what is known of it goes by.
    let heard = 0;
    const told = (drawn, done, total) => {
      if (mine !== chain || heard++ < frames.length) return;
      frames.push({ name: `${number(done)} of ${number(total)}`, drawn, last: done === total });
      reveal();
    };
    await ask('sample', [name, asked], { told, signal, every: true });
    return `${several(asked.count, 'chain')} of ${several(asked.steps, 'step')} computed by seed ${number(asked.seed)}`;
  });
}
