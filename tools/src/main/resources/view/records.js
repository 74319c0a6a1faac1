// The records of a frame as the viewer sends them: asking for them, and reading their parts. No page is needed here.

export async function ask(path) {
  const response = await fetch(path, { cache: 'no-store' });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response;
}

/** Moments with their parts as typed arrays; the layout is ViewServer's. */
export async function moments(path) {
  const bytes = await (await ask(path)).arrayBuffer();
  const length = new DataView(bytes).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
  for (const moment of head.moments) {
    for (const part of moment.parts) part.bytes = bytes.slice(4 + length + part.start, 4 + length + part.start + part.length);
  }
  return head;
}

export function decode(part) {
  if (part.kind === 'labels') part.cells = runs(new Uint8Array(part.bytes), part.width * part.height);
  else if (part.kind === 'values') part.cells = new Float32Array(part.bytes);
  else if (part.kind === 'features') part.cells = new Int8Array(part.bytes);
  else part.cells = new Uint8Array(part.bytes);
}

/** Runs of a label byte and a varint length. */
export function runs(bytes, size) {
  const cells = new Uint8Array(size);
  for (let i = 0, at = 0; i < bytes.length;) {
    const label = bytes[i++];
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const b = bytes[i++];
      length |= (b & 127) << shift;
      if (b < 128) break;
    }
    cells.fill(label, at, at + length);
    at += length;
  }
  return cells;
}

/** Index of the cell that holds a frame pixel, or -1. */
export function cell(p, [x, y]) {
  const column = Math.floor((x - p.offsetX) / p.scaleX), row = Math.floor((y - p.offsetY) / p.scaleY);
  return column < 0 || row < 0 || column >= p.width || row >= p.height ? -1 : row * p.width + column;
}
