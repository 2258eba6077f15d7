// Values from 0 to 1 as pixels: one image, a sheet of them, and a film of sheets.

const GAP = 4;
// Even: of more, every second goes, and the newest stays.
const MOST_FRAMES = 1002;

/** Paints the image at `offset` of `values` on a canvas of its size. Pixels from `drawn` on are not drawn yet and left clear. */
export function paint(canvas, [height, width, channels], values, offset = 0, drawn = Infinity) {
  const context = canvas.getContext('2d');
  const image = context.createImageData(width, height);
  const scale = values instanceof Float32Array ? 255 : 1;
  const colour = channels < 3 ? 0 : 1;
  for (let pixel = 0; pixel < Math.min(width * height, drawn); pixel++) {
    for (let part = 0; part < 3; part++) image.data[pixel * 4 + part] = values[offset + pixel * channels + part * colour] * scale;
    image.data[pixel * 4 + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

export function blank(width, height) {
  return Object.assign(document.createElement('canvas'), { width, height });
}

/** Images beside each other, each at a whole multiple of its pixels. */
export function sheet(element) {
  let laid = '';
  let next = null;
  element.role = 'img';

  function clear() {
    next = null;
    laid = '';
    element.replaceChildren();
    element.ariaLabel = 'No images yet';
  }

  /** Shows `[n, h, w, c]`, of which that share of each image is drawn, at the screen's next frame. */
  function show(dims, values, share = 1) {
    if (!next) requestAnimationFrame(now);
    next = { dims, values, share };
  }

  function now() {
    if (!next) return;
    const { dims, values, share } = next;
    next = null;
    const pixels = dims[0] * dims[1];
    lay(values.length / pixels / dims[2], dims);
    [...element.children].forEach((canvas, at) => paint(canvas, dims, values, at * pixels * dims[2], share < 1 ? share * pixels : Infinity));
  }

  function lay(count, [height, width]) {
    const wanted = [count, height, width].join();
    if (laid === wanted) return;
    laid = wanted;
    const [columns, side] = count === 1 ? [1, 336] : count <= 16 ? [4, 112] : [8, 60];
    const room = Math.min(side, (element.parentElement.clientWidth + GAP) / columns - GAP);
    const shown = width * Math.max(1, Math.floor(Math.max(56, room) / width));
    element.style.maxWidth = `${columns * (shown + GAP)}px`;
    element.replaceChildren(...Array.from({ length: count }, () => blank(width, height)));
    for (const canvas of element.children) canvas.style.width = `${shown}px`;
    element.ariaLabel = `${count} ${count === 1 ? 'image' : 'images'} of ${width} by ${height} pixels`;
  }

  clear();
  return { clear, show };
}

/** Sheets one after the other, and a slider to look back at them. */
export function film(onto, field) {
  const slider = field.querySelector('input');
  let frames = [];
  slider.oninput = () => at(Number(slider.value));

  function clear() {
    frames = [];
    onto.clear();
    field.hidden = true;
  }

  /** Keeps a sheet under a name, and shows it unless somebody looks back. */
  function add(name, dims, values, follow = Number(slider.value) >= frames.length - 1) {
    frames.push({ name, dims, bytes: Uint8ClampedArray.from(values, (value) => value * 255) });
    if (frames.length > MOST_FRAMES) frames = frames.filter((_, index) => index % 2 === 0);
    slider.max = frames.length - 1;
    if (follow) at(frames.length - 1);
  }

  function at(index) {
    const { name, dims, bytes } = frames[index];
    field.hidden = false;
    slider.value = index;
    slider.ariaValueText = name;
    field.querySelector('output').textContent = name;
    onto.show(dims, bytes);
  }

  return { clear, add };
}
