// Grey values and maps as they come from the service, and the smaller copies from which a view is drawn.

import { ask } from "./ask.js";

// Planes: {values, rows, columns}. The first is as it came, each next one half as large, so that a small view of a large
// image is an average of what it shows and not every third pixel.
export async function loadGrey(image, side) {
  const answer = await ask(`/view/images/${image}/grey?side=${side}`);
  const [rows, columns] = answer.headers.get("X-Shape").split(" ").map(Number);
  const stored = answer.headers.get("X-Stored-Shape").split(" ").map(Number);
  const bytes = await answer.arrayBuffer();
  const values = isLittleEndian() ? new Uint16Array(bytes) : swapped(bytes);
  return { planes: smaller({ values, rows, columns }), stored };
}

export async function loadMap(result, name) {
  const answer = await ask(`/view/results/${result}/maps/${name}`);
  const bitmap = await createImageBitmap(await answer.blob(), { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const [columns, rows] = [bitmap.width, bitmap.height];
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const pixels = context.getImageData(0, 0, columns, rows).data;
  const values = new Uint8Array(rows * columns);
  let known = null;
  for (let place = 0; place < values.length; place += 1) {
    values[place] = pixels[4 * place];
    if (pixels[4 * place + 3] < 128) {
      known ??= new Uint8Array(rows * columns).fill(1);
      known[place] = 0;
    }
  }
  return { values, rows, columns, known };
}

export function smaller(plane, least = 400) {
  const planes = [plane];
  let last = plane;
  while (Math.max(last.rows, last.columns) / 2 >= least) {
    last = half(last);
    planes.push(last);
  }
  return planes;
}

export function half({ values, rows, columns }) {
  const [h, w] = [Math.floor(rows / 2), Math.floor(columns / 2)];
  const made = new values.constructor(h * w);
  for (let y = 0; y < h; y += 1) {
    let above = 2 * y * columns;
    let below = above + columns;
    for (let x = 0; x < w; x += 1, above += 2, below += 2) {
      made[y * w + x] = (values[above] + values[above + 1] + values[below] + values[below + 1] + 2) >> 2;
    }
  }
  return { values: made, rows: h, columns: w };
}

// The grey values between which all but half a per cent at each end lie, as a window in [0, 1].
export function stretch({ values }) {
  const counts = new Uint32Array(1024);
  for (let place = 0; place < values.length; place += 7) counts[values[place] >> 6] += 1;
  const all = counts.reduce((sum, count) => sum + count, 0);
  const at = (share) => {
    let sum = 0;
    for (let bin = 0; bin < 1024; bin += 1) {
      sum += counts[bin];
      if (sum >= share * all) return bin / 1023;
    }
    return 1;
  };
  const [low, high] = [at(0.005), at(0.995)];
  return { centre: (low + high) / 2, width: Math.max(high - low, 0.02) };
}

const isLittleEndian = () => new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

function swapped(bytes) {
  const view = new DataView(bytes);
  return Uint16Array.from({ length: bytes.byteLength / 2 }, (_, place) => view.getUint16(2 * place, true));
}
