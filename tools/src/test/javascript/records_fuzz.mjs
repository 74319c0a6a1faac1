// Fuzz of the page's records.js: what is not an answer of the viewer is an error, soon, and takes no more memory than an
// answer may. Arguments: the path of records.js, seconds.
import { readFileSync } from 'node:fs';

// The page's modules have no package.json beside them that would tell node what they are.
const source = readFileSync(process.argv[2], 'utf8');
const { decode, read, runs } = await import(`data:text/javascript;base64,${Buffer.from(source).toString('base64')}`);
const seconds = Number(process.argv[3] ?? 2), SLOW_MILLIS = 500;
let seed = 20261128;

function random(n) { // xorshift: the same every time
  seed ^= seed << 13; seed ^= seed >>> 17; seed ^= seed << 5;
  return (seed >>> 0) % n;
}

function fails(name, action) {
  try { action(); } catch (error) { return error; }
  throw new Error(`${name}: no error`);
}

fails('a varint without its end', () => runs(Uint8Array.of(1, 0x80), 64));
fails('a varint that never ends', () => runs(new Uint8Array(1000).fill(0x80), 64));
fails('a run of nothing', () => runs(Uint8Array.of(1, 0), 64));
fails('a run beyond the end', () => runs(Uint8Array.of(1, 65), 64));
fails('runs that end early', () => runs(Uint8Array.of(1, 63), 64));
fails('2^35 cells', () => runs(Uint8Array.of(1, 0xff, 0xff, 0xff, 0xff, 0x7f), 64));
fails('a part of 30000 x 30000', () => decode({ kind: 'labels', width: 30000, height: 30000, bytes: new ArrayBuffer(2) }));
fails('no bytes', () => read(new ArrayBuffer(0)));
if (runs(Uint8Array.of(1, 0x80, 1, 2, 0x40), 192)[191] !== 2) throw new Error('good runs are not read');

const CLASSES = new TextEncoder().encode('[{"id":0,"name":"road","color":"#804080"}]');
for (const classes of [-1, CLASSES.length + 5, 0.5, 'all']) {
  fails(`classes of ${classes} bytes`, () => decode({ kind: 'labels', width: 8, height: 8, classes, bytes: Uint8Array.of(1, 32, 2, 32, ...CLASSES).buffer }));
}

function answer() {
  const head = { after: 1, moments: [{ parts: [
    { kind: 'labels', width: 8, height: 8, start: 0, length: 4 },
    { kind: 'values', width: 2, height: 2, start: 4, length: 16 },
    { kind: 'features', width: 2, height: 2, channels: 3, start: 20, length: 12 },
    { kind: 'colours', width: 2, height: 2, start: 32, length: 12 },
    { kind: 'labels', width: 8, height: 8, start: 44, length: 4 + CLASSES.length, classes: CLASSES.length }] }] };
  const text = new TextEncoder().encode(JSON.stringify(head));
  const bytes = new Uint8Array(4 + text.length + 48 + CLASSES.length);
  new DataView(bytes.buffer).setUint32(0, text.length, true);
  bytes.set(text, 4);
  bytes.set([1, 32, 2, 32], 4 + text.length);
  bytes.set([1, 32, 2, 32, ...CLASSES], 48 + text.length);
  return bytes;
}

function mutated(bytes) {
  let result = bytes.slice();
  for (let i = random(4); i >= 0; i--) {
    const at = random(result.length);
    if (random(3)) result[at] = random(2) ? random(256) : 48 + random(10); // a digit: the head stays JSON
    else if (random(4)) result = Uint8Array.from([...result.slice(0, at), random(256), ...result.slice(at)]);
    else result = result.slice(0, at);
    if (!result.length) result = bytes.slice();
  }
  return result;
}

let good = 0, bad = 0;
const end = Date.now() + 1000 * seconds;
while (Date.now() < end) {
  const before = process.cpuUsage(), bytes = good + bad ? mutated(answer()) : answer();
  try {
    for (const moment of read(bytes.buffer).moments) moment.parts.forEach(decode);
    good++;
  } catch (error) {
    if (!(error instanceof Error) || error instanceof RangeError && /memory|allocation/.test(error.message)) throw error;
    bad++;
  }
  const noise = Uint8Array.from({ length: random(40) }, () => random(4) ? random(256) : 0x80);
  try { runs(noise, random(5000)); good++; } catch { bad++; }
  const { user, system } = process.cpuUsage(before); // microseconds, which a busy machine does not stretch
  if (user + system > 1000 * SLOW_MILLIS) throw new Error(`slow: ${(user + system) / 1000} ms for ${bytes}`);
}
if (!good || !bad) throw new Error(`${good} read, ${bad} refused (expected: both)`);
console.log(`fuzz of records.js: ${good} read, ${bad} refused`);
