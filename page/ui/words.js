// How the page says things: numbers, errors, what computes.

import { STOPPED } from '../engine.js';

/** 1,234 or 0.01235: whole numbers in full, others to four figures. */
export function number(value) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'not a number' : 'infinite';
  return value.toLocaleString('en-GB', Number.isInteger(value) ? {} : { maximumSignificantDigits: 4 });
}

/** '1 image', '2 images'. */
export function several(count, what) {
  return `${number(count)} ${what}${count === 1 ? '' : 's'}`;
}

/** A time as people say it. */
export function time(seconds) {
  if (seconds < 1) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  if (seconds < 100) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  return `${Math.round(seconds / 60)} min`;
}

/** What went wrong, as a sentence; nothing where a stop was asked for. The module's own begin small and end bare. */
export function sentence(error) {
  if (error === STOPPED) return '';
  if (typeof error === 'string') return begun(error) + (error.endsWith('.') ? '' : '.');
  console.error(error);
  return 'This page met a fault of its own. Load it again to go on.';
}

/** With a large letter, but for a file's name. */
function begun(words) {
  return /^\S*\.\w+:/.test(words) ? words : words[0].toUpperCase() + words.slice(1);
}

/** What computes, for people who have heard of none of it. */
export function device({ name, backend, software }, asked) {
  if (backend !== 'cpu') return `Computed by ${name}${software ? ' (a software driver on the CPU)' : ''} through ${backend}.`;
  if (asked === 'cpu') return 'Computed by kiln’s own executor on the CPU, one thread, as the address asks.';
  const why = 'gpu' in navigator ? 'This browser’s WebGPU has no adapter that kiln can use' : 'This browser has no WebGPU';
  return `${why}; computed by kiln’s own executor on the CPU, one thread, slower.`;
}
