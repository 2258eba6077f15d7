// What the sections of the page share.

import { sentence, time } from './words.js';

// Shared pieces go where the page asks for them, `<template data-use="seed count">`, before any section looks for its parts.
for (const wanted of document.querySelectorAll('template')) {
  const { use, count } = wanted.dataset;
  const pieces = use.split(' ').map((name) => document.querySelector(`[data-piece=${name}]`).cloneNode(true));
  wanted.replaceWith(...pieces);
  if (count) pieces.find((piece) => piece.dataset.piece === 'count').firstElementChild.value = count;
}

/** The parts of an element by their marks: `part('go')` is `[data-go]`. */
export function parts(root) {
  return (name) => root.querySelector(`[data-${name}]`);
}

/** One piece of work at a time: its progress, what is said of it, and what went wrong, all within `root`. */
export function job(root) {
  const button = parts(root)('stop') ?? {};
  const bar = root.querySelector('progress') ?? {};
  const [said, error] = root.querySelectorAll('[role=status], [role=alert]');
  let abort = null;
  let ended = Promise.resolve();
  let turn = 0;
  button.onclick = stop;

  /** Resolves when what runs has ended; what waits is let go. */
  function stop() {
    turn++;
    abort?.abort();
    return ended;
  }

  function say(words) {
    said.textContent = words;
  }

  /** Shows a sentence on what went wrong; an empty one takes it away. */
  function fail(words) {
    error.textContent = words;
    error.hidden = !words;
  }

  function progress(done, total) {
    bar.value = done / total;
  }

  function busy(is) {
    root.toggleAttribute('data-busy', is);
    button.disabled = !is;
    progress(0, 1);
  }

  /** Runs `work(signal, progress)` when what ran before has ended, unless newer work came meanwhile. What it returns is said. */
  async function run(began, work) {
    const before = stop();
    const mine = turn;
    await before;
    if (mine !== turn) return false;
    let end;
    ended = new Promise((resolve) => (end = resolve));
    abort = new AbortController();
    busy(true);
    fail('');
    say(began);
    const start = performance.now();
    try {
      const words = await work(abort.signal, progress);
      if (words) say(`${words} in ${time((performance.now() - start) / 1000)}.`);
      return true;
    } catch (error) {
      fail(sentence(error));
      say(sentence(error) ? '' : 'Stopped.');
      return false;
    } finally {
      abort = null;
      busy(false);
      end();
    }
  }

  return { run, stop, say, fail, running: () => abort !== null };
}

/** Has a form call `go` when it is sent or takes another seed, and its sliders say their values. */
export function bind(form, go) {
  form.onsubmit = (event) => {
    event.preventDefault();
    go();
  };
  form.oninput = () => {
    for (const output of form.querySelectorAll('label > output')) output.textContent = output.nextElementSibling.value;
  };
  form.oninput();
  const other = parts(form)('seed');
  if (!other) return;
  other.onclick = () => {
    form.elements.seed.value = crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000;
    form.requestSubmit();
  };
}

/** A section of the page that concerns runs of some kind; `go` is what its form is for. */
export function section(id, go) {
  const root = document.getElementById(id);
  const form = root.querySelector('form');
  const work = job(root);
  bind(form, go);

  /** What does not concern the run is hidden, and its classes are named. */
  function show(run) {
    root.hidden = false;
    work.say('');
    work.fail('');
    const suited = { classes: run.classes > 0, raster: run.draws === 'raster', noise: run.draws === 'noise', plane: run.latent > 2 };
    for (const element of root.querySelectorAll('[data-for]')) element.hidden = !suited[element.dataset.for];
    const { label, steps } = form.elements;
    label.replaceChildren(...Array.from({ length: run.classes }, (_, at) => new Option(run.class_names[at] ?? at, at)));
    if ('all' in label.dataset) label.prepend(new Option('each in turn', '', true, true));
    if (steps) steps.value = run.steps || 1;
  }

  /** Resolves when its work has ended. */
  function hide() {
    root.hidden = true;
    return work.stop();
  }

  return { part: parts(root), form, work, show, hide };
}

/** What the shared controls say, as the module takes it. Those that do not concern the run are hidden. */
export function options({ elements }) {
  const value = (name) => (elements[name]?.value && !elements[name].closest('[hidden]') ? Number(elements[name].value) : null);
  return { count: value('count'), seed: value('seed'), label: value('label'), temperature: value('temperature') ?? 1, steps: value('steps') };
}

/** Calls `work` once an element is on the screen: what nobody looks at need not be computed. */
export function whenSeen(element, work) {
  const observer = new IntersectionObserver((entries) => {
    if (!entries.at(-1).isIntersecting) return;
    observer.disconnect();
    work();
  });
  observer.observe(element);
}
