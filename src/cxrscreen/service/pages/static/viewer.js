// The viewer of one radiograph: what is shown and how, and what pointer, wheel and fingers do to it.

import { draw, greyTable } from "./draw.js";
import { loadGrey, loadMap, stretch } from "./picture.js";

const FIRST_SIDE = 2560;
const MOST_PIXELS = 2.4e6;
const AS_SENT = { centre: 0.5, width: 1, invert: false };

export class Viewer extends EventTarget {
  constructor(root) {
    super();
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.image = root.dataset.image;
    this.scales = { saliency: bytesOf(root.dataset.saliencyScale), coverage: bytesOf(root.dataset.coverageScale) };
    this.window = { ...AS_SENT };
    this.view = null;
    this.fitted = true;
    this.tool = "window";
    this.map = null;
    this.lungs = null;
    this.showsLungs = false;
    this.strength = 1;
    this.hidden = false;
    this.kept = new Map();
    this.#listen();
  }

  async load(side = FIRST_SIDE) {
    const note = this.root.querySelector("[data-loading]");
    note.hidden = false;
    try {
      const { planes, stored } = await loadGrey(this.image, side);
      const ratio = this.planes ? planes[0].columns / this.planes[0].columns : 1;
      if (this.view) this.view = { scale: this.view.scale / ratio, x: this.view.x * ratio, y: this.view.y * ratio };
      this.planes = planes;
      this.stored = stored;
      note.hidden = true;
      if (this.fitted) this.fit();
      else this.redraw();
      this.dispatchEvent(new Event("loaded"));
    } catch (error) {
      note.textContent = error.message;
    }
  }

  get reduced() {
    return this.planes ? this.planes[0].rows / this.stored[0] : 1;
  }

  loadFull() {
    return this.reduced < 1 ? this.load(8192) : Promise.resolve();
  }

  // which: {result, name, kind, lookedAt} or null; where the mask named lookedAt is 0, the map knows nothing.
  async showMap(which) {
    this.wanted = which;
    const map = which && (await this.#map(which.result, which.name));
    const looked = map && which.lookedAt ? await this.#map(which.result, which.lookedAt) : null;
    if (this.wanted !== which) return;
    this.map = map && (looked?.values.length === map.values.length ? { ...map, known: looked.values } : map);
    this.kind = which?.kind ?? "saliency";
    this.redraw();
    this.dispatchEvent(new Event("map"));
  }

  async showLungs(result) {
    this.lungs = result ? await this.#map(result, "lungs") : null;
    this.showsLungs = Boolean(result);
    this.redraw();
  }

  async #map(result, name) {
    const key = `${result}/${name}`;
    if (!this.kept.has(key)) this.kept.set(key, loadMap(result, name));
    try {
      return await this.kept.get(key);
    } catch (error) {
      this.kept.delete(key);
      document.getElementById("said").textContent = error.message;
      return null;
    }
  }

  setStrength(strength) {
    this.strength = strength;
    this.redraw();
  }

  setHidden(hidden) {
    this.hidden = hidden;
    this.redraw();
  }

  setWindow(change) {
    const { centre, width, invert } = { ...this.window, ...change };
    this.window = { centre: clamp(centre, -0.5, 1.5), width: clamp(width, 0.02, 3), invert };
    this.#changed();
  }

  stretch() {
    if (this.planes) this.setWindow(stretch(this.planes.at(-1)));
  }

  reset() {
    this.window = { ...AS_SENT };
    this.fit();
  }

  fit() {
    if (!this.planes) return;
    const [{ rows, columns }] = this.planes;
    this.fitted = true;
    this.view = {
      scale: Math.min(this.canvas.width / columns, this.canvas.height / rows),
      x: columns / 2,
      y: rows / 2,
    };
    this.#changed();
  }

  // By a factor, about a point of the canvas (its pixels), the centre if none is given.
  zoom(factor, px = this.canvas.width / 2, py = this.canvas.height / 2) {
    if (!this.view) return;
    const { scale, x, y } = this.view;
    const next = clamp(scale * factor, 0.02, 16);
    const [dx, dy] = [px - this.canvas.width / 2, py - this.canvas.height / 2];
    this.view = { scale: next, x: x + dx / scale - dx / next, y: y + dy / scale - dy / next };
    this.#moved();
  }

  // By pixels of the canvas.
  pan(dx, dy) {
    if (!this.view) return;
    const { scale, x, y } = this.view;
    this.view = { scale, x: x - dx / scale, y: y - dy / scale };
    this.#moved();
  }

  // The same look in another viewer: relative, since the other image may have another size.
  get look() {
    if (!this.planes || !this.view) return null;
    const [{ rows, columns }] = this.planes;
    const fitting = Math.min(this.canvas.width / columns, this.canvas.height / rows);
    return {
      window: this.window,
      zoom: this.view.scale / fitting,
      x: this.view.x / columns,
      y: this.view.y / rows,
      fitted: this.fitted,
    };
  }

  set look(look) {
    if (!this.planes || !look) return;
    const [{ rows, columns }] = this.planes;
    const fitting = Math.min(this.canvas.width / columns, this.canvas.height / rows);
    this.window = look.window;
    this.view = { scale: fitting * look.zoom, x: look.x * columns, y: look.y * rows };
    this.fitted = look.fitted;
    this.redraw();
  }

  redraw() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      this.#draw();
    });
  }

  #draw() {
    if (!this.planes || !this.view || !this.canvas.width) return;
    const { width, height } = this.canvas;
    if (this.target?.width !== width || this.target?.height !== height) this.target = new ImageData(width, height);
    draw(this.target, {
      view: this.view,
      planes: this.planes,
      table: greyTable(this.window),
      map: this.hidden ? null : this.map,
      scale: this.scales[this.kind ?? "saliency"],
      strength: this.strength,
      lungs: this.hidden || !this.showsLungs ? null : this.lungs,
    });
    this.context.putImageData(this.target, 0, 0);
    const readout = this.root.querySelector("[data-readout]");
    const percent = Math.round((100 * this.view.scale * this.reduced) / this.ratio);
    readout.textContent = `Window ${this.window.width.toFixed(2)} · Level ${this.window.centre.toFixed(2)} · ${percent}%${this.window.invert ? " · inverted" : ""}`;
    this.canvas.dataset.drawn = String(Number(this.canvas.dataset.drawn ?? 0) + 1);
  }

  #moved() {
    this.fitted = false;
    const [{ rows, columns }] = this.planes;
    this.view.x = clamp(this.view.x, 0, columns);
    this.view.y = clamp(this.view.y, 0, rows);
    this.#changed();
  }

  #changed() {
    this.redraw();
    this.dispatchEvent(new Event("look"));
  }

  get ratio() {
    return this.canvas.width / this.canvas.clientWidth;
  }

  #resize() {
    const { clientWidth, clientHeight } = this.canvas.parentElement;
    if (!clientWidth || !clientHeight) return;
    const ratio = Math.min(devicePixelRatio, Math.sqrt(MOST_PIXELS / (clientWidth * clientHeight)));
    const before = this.canvas.width;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    if (this.fitted) this.fit();
    else this.view.scale *= this.canvas.width / before;
    this.#draw();
  }

  #listen() {
    new ResizeObserver(() => this.#resize()).observe(this.canvas.parentElement);
    const held = new Map();
    const canvas = this.canvas;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button === 2) return;
      canvas.setPointerCapture(event.pointerId);
      held.set(event.pointerId, [event.clientX, event.clientY]);
      canvas.focus({ preventScroll: true });
      if (event.button === 1) event.preventDefault();
    });
    canvas.addEventListener("pointermove", (event) => {
      const last = held.get(event.pointerId);
      if (!last) return;
      const now = [event.clientX, event.clientY];
      if (held.size === 2) this.#pinch(held, event.pointerId, now);
      else if (held.size === 1) this.#drag(event, now[0] - last[0], now[1] - last[1]);
      held.set(event.pointerId, now);
    });
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(kind, (event) => held.delete(event.pointerId));
    }
    canvas.addEventListener("dblclick", () => this.fit());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = canvas.getBoundingClientRect();
      const amount = event.deltaY * (event.deltaMode === 1 ? 30 : 1);
      this.zoom(Math.exp(-clamp(amount, -300, 300) / 450), (event.clientX - box.left) * this.ratio, (event.clientY - box.top) * this.ratio);
    }, { passive: false });
  }

  #drag(event, dx, dy) {
    const pans = this.tool === "move" || event.shiftKey || event.buttons & 4;
    if (pans) {
      this.pan(dx * this.ratio, dy * this.ratio);
      return;
    }
    const { centre, width } = this.window;
    this.setWindow({ centre: centre - (dy / 500) * Math.max(width, 0.2), width: width * Math.exp(dx / 300) });
  }

  #pinch(held, moved, now) {
    const other = [...held].find(([pointer]) => pointer !== moved)[1];
    const last = held.get(moved);
    const box = this.canvas.getBoundingClientRect();
    const apart = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
    const middle = [(now[0] + other[0]) / 2 - box.left, (now[1] + other[1]) / 2 - box.top];
    this.zoom(apart(now, other) / Math.max(apart(last, other), 1), middle[0] * this.ratio, middle[1] * this.ratio);
    this.pan(((now[0] - last[0]) / 2) * this.ratio, ((now[1] - last[1]) / 2) * this.ratio);
  }
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

const bytesOf = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
