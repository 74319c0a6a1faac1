// Parts of records as pixels.
import { classes, key } from './state.js';

// Okabe and Ito's colours and tints of them, told apart with any kind of colour vision; names are in the legend.
const SAFE = ['#000000', '#e69f00', '#56b4e9', '#009e73', '#f0e442', '#0072b2', '#d55e00', '#cc79a7', '#ffffff',
  '#7f5800', '#1f5f80', '#004f39', '#807a20', '#00395a', '#6a2f00', '#663c53', '#ffd27f', '#aee0ff', '#7fd8bf'];

export function colour(label, safe) {
  const hex = safe ? SAFE[label.id % SAFE.length] : label.color;
  return [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));
}

const RAMP = [[0, 0, 16], [59, 15, 112], [183, 55, 121], [252, 137, 97], [252, 253, 191]];

export const LEAST_SIMILAR = 0.2;

/** From far and unlike, dark, to near and like, bright. */
export function ramp(share) {
  const position = Math.max(0, Math.min(1, share)) * (RAMP.length - 1), low = Math.min(RAMP.length - 2, Math.floor(position));
  return RAMP[low].map((c, i) => c + (RAMP[low + 1][i] - c) * (position - low));
}

const PAINT = {
  labels(p, data, state) {
    const table = new Uint8Array(1024);
    for (const label of classes(p)) if (!state.hidden.has(key(label))) table.set([...colour(label, state.safe), 255], 4 * label.id);
    for (let i = 0; i < p.cells.length; i++) data.set(table.subarray(4 * p.cells[i], 4 * p.cells[i] + 4), 4 * i);
  },
  colours(p, data) {
    for (let i = 0; i < p.width * p.height; i++) data.set([p.cells[3 * i], p.cells[3 * i + 1], p.cells[3 * i + 2], 255], 4 * i);
  },
  values(p, data, state) {
    // Follows slowly, once for each record, and is that of all cameras, so that a colour keeps its meaning.
    const old = state.range?.name === p.name ? state.range : null;
    if (!old || !p.ranged) {
      const sorted = Float32Array.from(p.cells).sort();
      const [near, far] = [0.02, 0.98].map(share => Math.max(1e-3, sorted[Math.floor(share * (sorted.length - 1))]));
      const followed = (before, now) => old ? before * (now / before) ** 0.05 : now;
      state.range = { name: p.name, unit: p.unit ?? '', near: followed(old?.near, near), far: followed(old?.far, far) };
      p.ranged = true;
    }
    const near = Math.log(state.range.near), far = Math.log(state.range.far);
    for (let i = 0; i < p.cells.length; i++) {
      data.set([...ramp((far - Math.log(Math.max(1e-3, p.cells[i]))) / Math.max(1e-6, far - near)), 255], 4 * i);
    }
  },
  features(p, data, state) {
    const similarity = similarities(p, state.query);
    if (!similarity) return;
    for (let i = 0; i < similarity.length; i++) data.set([...ramp((similarity[i] - LEAST_SIMILAR) / (1 - LEAST_SIMILAR)), 255], 4 * i);
  },
};

/** Cosine of every cell's feature with the picked one, or null if none is picked. */
export function similarities(p, query) {
  if (!query || query.head !== p.name || query.vector.length !== p.channels) return null;
  const result = new Float32Array(p.width * p.height);
  for (let i = 0; i < result.length; i++) {
    let sum = 0;
    for (let c = 0; c < p.channels; c++) sum += query.vector[c] * p.cells[i * p.channels + c];
    result[i] = sum / (127 * 127);
  }
  return result;
}

/** A canvas with a pixel for every cell of a part. */
export function layer(p, state) {
  const canvas = new OffscreenCanvas(p.width, p.height), context = canvas.getContext('2d');
  const pixels = context.createImageData(p.width, p.height);
  PAINT[p.kind](p, pixels.data, state);
  context.putImageData(pixels, 0, 0);
  return canvas;
}
