// The records of a frame as the viewer sends them: asking for them, and reading their parts. No page is needed here.

export async function ask(path) {
  const response = await fetch(path, { cache: 'no-store' });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response;
}

/** Moments with their parts' bytes; the layout is ViewServer's. */
export async function moments(path) {
  return read(await (await ask(path)).arrayBuffer());
}

/** What an answer holds; an error if it is not laid out as it says. */
export function read(bytes) {
  const length = bytes.byteLength < 4 ? Infinity : new DataView(bytes).getUint32(0, true);
  if (length > bytes.byteLength - 4) throw new Error(`answer: ${bytes.byteLength} bytes (expected: a head and its parts)`);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
  if (!Array.isArray(head?.moments) || !Number.isSafeInteger(head.after)) throw new Error('answer: no moments (expected: a list of them)');
  for (const moment of head.moments) {
    for (const part of moment.parts) {
      const start = 4 + length + part.start;
      if (!(part.start >= 0 && part.length >= 0 && start + part.length <= bytes.byteLength)) throw new Error('answer: a part beyond its end');
      part.bytes = bytes.slice(start, start + part.length);
    }
  }
  return head;
}

// Cells of a part and bytes of one: as many as the viewer sends at most.
const MAX_CELLS = 2 ** 23, MAX_BYTES = 2 ** 26;

/** Gives a part its cells as a typed array; an error if there are not as many as it says. */
export function decode(part) {
  const { kind, width, height, bytes } = part;
  const size = width * height, channels = { labels: 1, values: 1, colours: 3, features: part.channels }[kind];
  if (!(Number.isInteger(width) && Number.isInteger(height) && width >= 1 && height >= 1 && size <= MAX_CELLS
      && Number.isInteger(channels) && channels >= 1)) throw new Error(`part: ${kind} of ${width} x ${height} (expected: at most ${MAX_CELLS} cells)`);
  if (kind === 'labels') { // runs, and the classes if they are others than the page's
    const split = bytes.byteLength - (part.classes ?? 0);
    if (!(Number.isInteger(split) && split >= 0 && split <= bytes.byteLength)) throw new Error(`labels: ${part.classes} bytes of classes`);
    part.cells = runs(new Uint8Array(bytes, 0, split), size);
    if (part.classes) part.labels = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, split)));
    return;
  }
  const expected = size * channels * (kind === 'values' ? 4 : 1);
  if (bytes.byteLength !== expected || expected > MAX_BYTES) throw new Error(`${kind}: ${bytes.byteLength} bytes (expected: ${expected})`);
  part.cells = kind === 'values' ? new Float32Array(bytes) : kind === 'features' ? new Int8Array(bytes) : new Uint8Array(bytes);
}

const MAX_VARINT_BYTES = 5;

/** Runs of a label byte and a varint length; an error if they are not exactly so many cells. */
export function runs(bytes, size) {
  const cells = new Uint8Array(size);
  let at = 0;
  for (let i = 0; i < bytes.length;) {
    const label = bytes[i++];
    let length = 0, more = true;
    for (let n = 0; more; n++) {
      if (i === bytes.length || n === MAX_VARINT_BYTES) throw new Error('labels: a run without the end of its length');
      length += (bytes[i] & 127) * 2 ** (7 * n);
      more = bytes[i++] >= 128;
    }
    if (length < 1 || length > size - at) throw new Error(`labels: a run of ${length} cells after ${at} of ${size}`);
    cells.fill(label, at, at += length);
  }
  if (at !== size) throw new Error(`labels: runs of ${at} cells (expected: ${size})`);
  return cells;
}

/** Index of the cell that holds a frame pixel, or -1. */
export function cell(p, [x, y]) {
  const column = Math.floor((x - p.offsetX) / p.scaleX), row = Math.floor((y - p.offsetY) / p.scaleY);
  return column < 0 || row < 0 || column >= p.width || row >= p.height ? -1 : row * p.width + column;
}
