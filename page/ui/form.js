// Forms that the sections share: seeds, classes, sliders that say their value, and what to show for which run.

/** A seed nobody has seen yet, short enough to be said. */
function otherSeed() {
  return crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000;
}

/** Binds 'Another seed' and the sliders' outputs of a form; `changed` is called after another seed was taken. */
export function bind(form, changed) {
  const button = form.querySelector('[data-seed]');
  if (button)
    button.onclick = () => {
      form.elements.seed.value = otherSeed();
      changed?.();
    };
  for (const output of form.querySelectorAll('.field output')) {
    const slider = output.closest('.field').querySelector('input[type=range]');
    slider.addEventListener('input', () => (output.textContent = slider.value));
    output.textContent = slider.value;
  }
}

/** Shows what concerns a run and hides what does not: elements marked `data-for`. */
export function suit(root, run) {
  const suited = {
    classes: run.classes > 0,
    raster: run.draws === 'raster',
    noise: run.draws === 'noise',
    plane: run.latent > 2,
    colour: run.dims[2] === 3,
  };
  for (const element of root.querySelectorAll('[data-for]')) element.hidden = !suited[element.dataset.for];
}

/** The classes of a run in a select, with `none` before them where a class need not be said. */
export function classes(select, run, none) {
  const named = Array.from({ length: run.classes }, (_, label) => new Option(run.class_names[label] ?? label, label));
  select.replaceChildren(...(none ? [new Option(none, '')] : []), ...named);
}

/** A whole number of a field; what cannot be one, the browser has refused before. */
export function whole(form, name) {
  return Math.trunc(Number(form.elements[name].value));
}

/** The class chosen, or null. */
export function label(form) {
  const { value } = form.elements.label;
  return value === '' ? null : Number(value);
}

/** Offers a file to keep. */
export function download(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
