// Values from 0 to 1 as pixels: one image, a sheet of them, and a film of sheets.

const GAP = 4;

/** Paints the image at `offset` of `values` on a canvas of its size. Pixels from `drawn` on are not drawn yet and left clear. */
export function paint(canvas, [height, width, channels], values, offset = 0, drawn = Infinity) {
  const context = canvas.getContext('2d');
  const image = context.createImageData(width, height);
  const level = values instanceof Uint8ClampedArray ? 1 : 255;
  for (let pixel = 0; pixel < Math.min(width * height, drawn); pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      const from = offset + pixel * channels + (channels < 3 ? 0 : channel);
      image.data[pixel * 4 + channel] = values[from] * level;
    }
    image.data[pixel * 4 + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** A canvas of so many pixels. */
export function blank(width, height) {
  const canvas = document.createElement('canvas');
  Object.assign(canvas, { width, height });
  return canvas;
}

/** Images beside each other, each at a whole multiple of its pixels. */
export class Sheet {
  #element;
  #canvases = [];
  #next = null;

  constructor(element) {
    this.#element = element;
    element.setAttribute('role', 'img');
    this.clear();
  }

  get empty() {
    return this.#canvases.length === 0;
  }

  clear() {
    this.#next = null;
    this.#canvases = [];
    this.#element.replaceChildren();
    this.#element.setAttribute('aria-label', 'No images yet');
  }

  /** Shows `[n, h, w, c]`, of which the first `share` of each image's rows and pixels is drawn, at the screen's next frame. */
  show(dims, values, share = 1) {
    const scheduled = this.#next;
    this.#next = { dims, values, share };
    if (!scheduled) requestAnimationFrame(() => this.#now());
  }

  #now() {
    if (!this.#next) return;
    const { dims, values, share } = this.#next;
    this.#next = null;
    const [height, width, channels] = dims;
    const each = height * width * channels;
    const count = Math.floor(values.length / each);
    this.#lay(count, width, height);
    const drawn = share < 1 ? Math.round(share * width * height) : Infinity;
    this.#canvases.forEach((canvas, at) => paint(canvas, dims, values, at * each, drawn));
  }

  #lay(count, width, height) {
    const [first] = this.#canvases;
    if (first && this.#canvases.length === count && first.width === width && first.height === height) return;
    const side = count === 1 ? 280 : count <= 4 ? 168 : count <= 9 ? 112 : 84;
    const scale = Math.max(1, Math.round(side / width));
    this.#canvases = Array.from({ length: count }, () => blank(width, height));
    for (const canvas of this.#canvases) canvas.style.width = `${width * scale}px`;
    this.#element.replaceChildren(...this.#canvases);
    this.#element.setAttribute('aria-label', `${count} ${count === 1 ? 'image' : 'images'} of ${width} by ${height} pixels`);
  }

  /** All images on one canvas, four times as large, for a file. */
  picture(scale = 4) {
    const [{ width, height }] = this.#canvases;
    const columns = Math.ceil(Math.sqrt(this.#canvases.length));
    const rows = Math.ceil(this.#canvases.length / columns);
    const whole = blank(columns * (width * scale + GAP) + GAP, rows * (height * scale + GAP) + GAP);
    const context = whole.getContext('2d');
    context.imageSmoothingEnabled = false;
    this.#canvases.forEach((canvas, at) => {
      const [row, column] = [Math.floor(at / columns), at % columns];
      context.drawImage(canvas, GAP + column * (width * scale + GAP), GAP + row * (height * scale + GAP), width * scale, height * scale);
    });
    return whole;
  }
}

/** Sheets one after the other, and a slider to look back at them. So many are kept: of more, every second is let go. */
export class Film {
  #sheet;
  #field;
  #slider;
  #frames = [];
  #most;

  constructor(sheet, field, most) {
    this.#most = most;
    this.#sheet = sheet;
    this.#field = field;
    this.#slider = field.querySelector('input');
    this.#slider.oninput = () => this.at(Number(this.#slider.value));
    this.clear();
  }

  get length() {
    return this.#frames.length;
  }

  get shown() {
    return Number(this.#slider.value);
  }

  clear() {
    this.#frames = [];
    this.#sheet.clear();
    this.#field.hidden = true;
  }

  /** Keeps a sheet under a name, and shows it where the last one was being shown or `follow` is said. */
  add(name, dims, values, follow = this.shown >= this.length - 1) {
    const bytes = Uint8ClampedArray.from(values, (value) => value * 255);
    this.#frames.push({ name, dims, bytes });
    if (this.#frames.length > this.#most) this.#frames = this.#frames.filter((_, at) => at % 2 === 0 || at === this.#frames.length - 1);
    this.#slider.max = this.#frames.length - 1;
    if (follow) this.at(this.#frames.length - 1);
  }

  at(index) {
    const { name, dims, bytes } = this.#frames[index];
    this.#field.hidden = false;
    this.#slider.value = index;
    this.#slider.setAttribute('aria-valuetext', name);
    this.#field.querySelector('output').textContent = name;
    this.#sheet.show(dims, bytes);
  }
}
