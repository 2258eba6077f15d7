// How the page says things: numbers, errors, and what a run is.

import { STOPPED } from '../engine.js';

/** 1,234 or 0.0123: whole numbers in full, others to four figures. */
export function number(value) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'not a number' : 'infinite';
  if (Number.isInteger(value)) return value.toLocaleString('en-GB');
  const size = Math.abs(value);
  return size >= 1e-4 && size < 1e6 ? value.toLocaleString('en-GB', { maximumSignificantDigits: 4 }) : value.toExponential(2);
}

/** '1 image', '2 images'. */
export function several(count, what) {
  return `${number(count)} ${what}${count === 1 ? '' : 's'}`;
}

/** A time as people say it. */
export function time(seconds) {
  if (seconds < 1) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 100) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** What went wrong, as a sentence; null where nothing did but a stop that was asked for. */
export function sentence(error) {
  if (error === STOPPED) return null;
  if (typeof error === 'string') return error;
  console.error(error);
  return 'This page met a fault of its own. Load it again to go on.';
}

/** '28 × 28, grey'. */
export function size([height, width, channels]) {
  return `${width} × ${height}, ${channels === 1 ? 'grey' : channels === 3 ? 'colour' : several(channels, 'channel')}`;
}

/** What computes, for people who have heard of none of it. */
export function device({ name, backend, software }, asked) {
  if (backend !== 'cpu') return `Computed by ${name}${software ? ' (a software driver on the CPU)' : ''} through ${backend}.`;
  const why = asked === 'cpu' ? 'The address of this page asks for the CPU' : `gpu` in navigator ? 'This browser’s WebGPU offers no adapter that kiln can use' : 'This browser has no WebGPU';
  return `${why}; computed by kiln’s own executor on the CPU, one thread${asked === 'cpu' ? '' : ', slower'}.`;
}
