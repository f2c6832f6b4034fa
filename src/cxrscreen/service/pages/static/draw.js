// A view of a radiograph, pixel by pixel: window and level on 16 bits, a map blended by its own value as in the report,
// the outlines of the lungs, and a hatching where a map knows nothing. Arrays in, an ImageData filled; no page, no state.

const STRONGEST = 0.72;
const LUNG_TINT = 0.1;
const LUNGS = [null, [86, 180, 233], [240, 176, 64]];
const OUTSIDE = 7;

// window: {centre, width, invert} in [0, 1] -> grey 0..255 by 16-bit value.
export function greyTable({ centre, width, invert }) {
  const table = new Uint8Array(65536);
  const low = (centre - width / 2) * 65535;
  const gain = 255 / (width * 65535);
  for (let value = 0; value < 65536; value += 1) {
    const grey = Math.min(Math.max((value - low) * gain, 0), 255);
    table[value] = Math.round(invert ? 255 - grey : grey);
  }
  return table;
}

// target: ImageData. view: {scale, x, y}: target pixels per image pixel, and the image point at the target's centre.
// planes: as of picture.js. map: {values, rows, columns, known} or null. scale: Uint8Array(768), a colour a value.
export function draw(target, { view, planes, table, map = null, scale = null, strength = 1, lungs = null }) {
  const { width, height, data } = target;
  const [full] = planes;
  const level = Math.min(Math.max(Math.floor(Math.log2(1 / view.scale)), 0), planes.length - 1);
  const plane = planes[level];
  const [zoomX, zoomY] = [plane.columns / full.columns, plane.rows / full.rows];
  const step = 1 / view.scale;
  const left = view.x - (width / 2) * step;
  const top = view.y - (height / 2) * step;
  const across = columns(width, left, step, zoomX, plane.columns);
  const mapAcross = map && columns(width, left, step, map.columns / full.columns, map.columns);
  const lungAcross = lungs && nearest(width, left, step, lungs.columns / full.columns, lungs.columns);
  const labels = lungs && [new Uint8Array(width), new Uint8Array(width), new Uint8Array(width)];
  for (let sy = 0; sy < height; sy += 1) {
    const y = top + (sy + 0.5) * step;
    let place = sy * width * 4;
    const inside = y >= 0 && y < full.rows;
    if (!inside) {
      for (let sx = 0; sx < width; sx += 1, place += 4) paint(data, place, OUTSIDE, OUTSIDE, OUTSIDE);
      continue;
    }
    const [row, next, fy] = between(y * zoomY, plane.rows, plane.columns);
    const [mapRow, mapNext, mapFy] = map ? between((y * map.rows) / full.rows, map.rows, map.columns) : [0, 0, 0];
    const lungRow = lungs ? Math.min(Math.floor((y * lungs.rows) / full.rows), lungs.rows - 1) * lungs.columns : 0;
    const here = lungs && labels[sy % 3];
    const before = lungs && labels[(sy + 1) % 3];
    for (let sx = 0; sx < width; sx += 1, place += 4) {
      const x = across.at[sx];
      if (x < 0) {
        if (lungs) here[sx] = 0;
        paint(data, place, OUTSIDE, OUTSIDE, OUTSIDE);
        continue;
      }
      const fx = across.part[sx];
      const x1 = across.next[sx];
      const above = plane.values[row + x] * (1 - fx) + plane.values[row + x1] * fx;
      const below = plane.values[next + x] * (1 - fx) + plane.values[next + x1] * fx;
      const grey = table[(above + (below - above) * fy + 0.5) | 0];
      let [r, g, b] = [grey, grey, grey];
      if (map) {
        const mx = mapAcross.at[sx];
        const m1 = mapAcross.next[sx];
        const mf = mapAcross.part[sx];
        if (map.known && !map.known[mapRow + mx]) {
          if (((sx + sy) & 7) === 0) r = g = b = grey + (grey < 128 ? 44 : -44);
        } else {
          const high = map.values[mapRow + mx] * (1 - mf) + map.values[mapRow + m1] * mf;
          const low = map.values[mapNext + mx] * (1 - mf) + map.values[mapNext + m1] * mf;
          const value = Math.min((high + (low - high) * mapFy + 0.5) | 0, 255);
          const share = (value / 255) * STRONGEST * strength;
          r += (scale[3 * value] - r) * share;
          g += (scale[3 * value + 1] - g) * share;
          b += (scale[3 * value + 2] - b) * share;
        }
      }
      if (lungs) {
        const label = lungs.values[lungRow + lungAcross[sx]];
        here[sx] = label;
        const edge = label !== before[sx] || (sx > 1 && label !== here[sx - 2]);
        if (edge && sy > 1 && sx > 1) {
          [r, g, b] = LUNGS[label || before[sx] || here[sx - 2]] ?? [r, g, b];
        } else if (label && !map) {
          const colour = LUNGS[label];
          r += (colour[0] - r) * LUNG_TINT;
          g += (colour[1] - g) * LUNG_TINT;
          b += (colour[2] - b) * LUNG_TINT;
        }
      }
      paint(data, place, r, g, b);
    }
  }
}

function paint(data, place, r, g, b) {
  data[place] = r;
  data[place + 1] = g;
  data[place + 2] = b;
  data[place + 3] = 255;
}

function columns(width, left, step, zoom, count) {
  const at = new Int32Array(width);
  const next = new Int32Array(width);
  const part = new Float32Array(width);
  for (let sx = 0; sx < width; sx += 1) {
    const x = (left + (sx + 0.5) * step) * zoom;
    if (x < 0 || x >= count) {
      at[sx] = -1;
      continue;
    }
    [at[sx], next[sx], part[sx]] = between(x, count, 1);
  }
  return { at, next, part };
}

function nearest(width, left, step, zoom, count) {
  return Int32Array.from({ length: width }, (_, sx) => {
    return Math.min(Math.max(Math.floor((left + (sx + 0.5) * step) * zoom), 0), count - 1);
  });
}

// Pixel centres lie at halves.
function between(position, count, stride) {
  const shifted = Math.min(Math.max(position - 0.5, 0), count - 1);
  const low = Math.floor(shifted);
  return [low * stride, Math.min(low + 1, count - 1) * stride, shifted - low];
}
