// The live page. It asks for the newest moments, waits for the answer, draws it, and asks again: what it cannot draw in
// time it never gets. Everything a test needs to look at is in window.uplift.
import uPlot from './uPlot.js';

const $ = id => document.getElementById(id);
const WANTED = { labels: 'labels', colours: 'labels,colours', values: 'labels,values', similar: 'labels,features', none: 'labels' };
// Okabe and Ito's colours and tints of them, told apart with any kind of colour vision; names are in the legend.
const SAFE = ['#000000', '#e69f00', '#56b4e9', '#009e73', '#f0e442', '#0072b2', '#d55e00', '#cc79a7', '#ffffff',
  '#7f5800', '#1f5f80', '#004f39', '#807a20', '#00395a', '#6a2f00', '#663c53', '#ffd27f', '#aee0ff', '#7fd8bf'];

// Cameras with a tile, unless more are chosen; one that was quiet for so long gives its place to a new one.
const TILES = 16, QUIET_MILLIS = 10000;

const state = {
  chosen: new URLSearchParams(location.search).getAll('camera'),
  view: 'labels', opacity: 0.6, safe: false, paused: false, step: false, hidden: new Set(),
  labels: [], cameras: new Map(), after: 0, query: null, shown: 0, statistics: null, fixed: null,
};
window.uplift = state;

// ---- Asking ----

async function ask(path) {
  const response = await fetch(path, { cache: 'no-store' });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response;
}

/** Moments with their parts as typed arrays; the layout is ViewServer's. */
async function moments(path) {
  const bytes = await (await ask(path)).arrayBuffer();
  const length = new DataView(bytes).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
  for (const moment of head.moments) {
    for (const part of moment.parts) part.bytes = bytes.slice(4 + length + part.start, 4 + length + part.start + part.length);
  }
  return head;
}

async function image(moment) {
  const answer = await ask(`image?partition=${moment.partition}&offset=${moment.offset}`);
  return createImageBitmap(await answer.blob(), { imageOrientation: 'from-image' });
}

const wait = millis => new Promise(done => setTimeout(done, millis));

async function follow() {
  const only = state.chosen.map(name => `&camera=${encodeURIComponent(name)}`).join('');
  for (;;) {
    if (state.paused && !state.step) { await wait(50); continue; }
    try {
      const head = await moments(`live?after=${state.after}&want=${WANTED[state.view]}${only}`);
      if (state.paused && !state.step) continue; // paused while it waited
      state.after = head.after;
      await Promise.all(head.moments.map(moment => show(moment)));
      if (head.moments.length) state.step = false;
      connected(true);
    } catch (error) {
      connected(false, error);
      await wait(1000);
    }
  }
}

function connected(yes, error) {
  $('link').classList.toggle('lost', !yes);
  if (!yes) $('link').textContent = `no answer from the viewer, trying again (${error.message})`;
  else if (state.statistics && !state.statistics.connected) $('link').textContent = 'waiting for Kafka and its topics …';
  else $('link').textContent = state.paused ? 'paused' : state.cameras.size ? 'live' : 'waiting for the first result …';
}

// ---- Cameras ----

const byName = (a, b) => a.localeCompare(b, undefined, { numeric: true });
const full = () => state.cameras.size >= Math.max(TILES, state.chosen.length);

/** Whether there is a place for one more tile, if need be that of a camera that is quiet. */
function place() {
  if (!full()) return true;
  const last = [...state.cameras.values()].reduce((a, b) => a.seen < b.seen ? a : b);
  if (Date.now() - last.seen < QUIET_MILLIS) return false;
  last.figure.remove();
  state.cameras.delete(last.name);
  return true;
}

/** Says which cameras have no tile, and how to get one. */
function others() {
  const known = Object.entries(state.statistics.cameras).filter(([name, n]) => name && n.results).map(([name]) => name);
  const hidden = state.chosen.length || full() ? known.filter(name => !state.cameras.has(name)).sort(byName) : [];
  const link = (query, text) => Object.assign(document.createElement('a'), { href: '?' + query, textContent: text });
  $('others').hidden = !hidden.length;
  $('others').replaceChildren(
    `${hidden.length} more ${hidden.length === 1 ? 'camera is' : 'cameras are'} not shown: `,
    ...hidden.slice(0, 8).flatMap(name => [link(new URLSearchParams([...state.chosen, name].map(c => ['camera', c])), name), ' ']),
    hidden.length > 8 ? '… ' : '', '(?camera=NAME in the address chooses, as often as needed) ',
    state.chosen.length ? link('', 'all') : '');
}

async function show(moment, linked = false) {
  let camera = state.cameras.get(moment.camera);
  if (!camera) {
    if (!linked && !place()) return;
    camera = tile(moment.camera);
    state.cameras.set(moment.camera, camera);
  }
  camera.seen = Date.now();
  try {
    camera.image = await image(moment);
  } catch {
    camera.image = null; // no longer in the topic, or no broker: the records are shown on black
  }
  camera.moment = moment;
  for (const part of moment.parts) decode(part);
  if (!state.labels.length) await names();
  draw(camera);
  state.shown++;
}

function tile(name) {
  const figure = document.createElement('figure');
  figure.className = 'camera';
  figure.dataset.camera = name;
  const canvas = document.createElement('canvas');
  canvas.tabIndex = 0;
  canvas.setAttribute('role', 'img');
  const caption = document.createElement('figcaption');
  caption.innerHTML = '<b></b><span class="numbers"></span><span class="under"></span><a title="A link to this frame">frame</a>';
  caption.querySelector('b').textContent = name;
  figure.append(canvas, caption);
  $('cameras').insertBefore(figure, [...$('cameras').children].find(other => byName(other.dataset.camera, name) > 0) ?? null);
  const camera = { name, figure, canvas, caption, moment: null, image: null, drawn: null, under: null, range: null };
  canvas.addEventListener('click', event => { pick(camera, at(camera, event)); });
  canvas.addEventListener('pointermove', event => { camera.under = at(camera, event); tell(camera); });
  canvas.addEventListener('pointerleave', () => { camera.under = null; tell(camera); });
  return camera;
}

/** Frame pixel under the pointer. */
function at(camera, event) {
  const box = camera.canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * camera.canvas.width / box.width, (event.clientY - box.top) * camera.canvas.height / box.height];
}

function decode(part) {
  if (part.kind === 'labels') part.cells = runs(new Uint8Array(part.bytes), part.width * part.height);
  else if (part.kind === 'values') part.cells = new Float32Array(part.bytes);
  else if (part.kind === 'features') part.cells = new Int8Array(part.bytes);
  else part.cells = new Uint8Array(part.bytes);
}

/** Runs of a label byte and a varint length. */
function runs(bytes, size) {
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

const part = (camera, kind) => camera.moment?.parts.find(p => p.kind === kind);

/** Index of the cell that holds a frame pixel, or -1. */
function cell(p, [x, y]) {
  const column = Math.floor((x - p.offsetX) / p.scaleX), row = Math.floor((y - p.offsetY) / p.scaleY);
  return column < 0 || row < 0 || column >= p.width || row >= p.height ? -1 : row * p.width + column;
}

// ---- Drawing ----

function colour(label) {
  const hex = state.safe ? SAFE[label.id % SAFE.length] : label.color;
  return [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));
}

const RAMP = [[0, 0, 16], [59, 15, 112], [183, 55, 121], [252, 137, 97], [252, 253, 191]];

function ramp(share) {
  const position = Math.max(0, Math.min(1, share)) * (RAMP.length - 1), low = Math.min(RAMP.length - 2, Math.floor(position));
  return RAMP[low].map((c, i) => c + (RAMP[low + 1][i] - c) * (position - low));
}

function layer(p, paint) {
  const canvas = new OffscreenCanvas(p.width, p.height), context = canvas.getContext('2d');
  const pixels = context.createImageData(p.width, p.height);
  paint(pixels.data);
  context.putImageData(pixels, 0, 0);
  return canvas;
}

const PAINT = {
  labels(p, data) {
    const table = new Uint8Array(1024);
    for (const label of state.labels) if (!state.hidden.has(label.id)) table.set([...colour(label), 255], 4 * label.id);
    for (let i = 0; i < p.cells.length; i++) data.set(table.subarray(4 * p.cells[i], 4 * p.cells[i] + 4), 4 * i);
  },
  colours(p, data) {
    for (let i = 0; i < p.width * p.height; i++) data.set([p.cells[3 * i], p.cells[3 * i + 1], p.cells[3 * i + 2], 255], 4 * i);
  },
  values(p, data, camera) {
    const sorted = Float32Array.from(p.cells).sort();
    const now = [0.02, 0.98].map(share => Math.log(Math.max(1e-3, sorted[Math.floor(share * (sorted.length - 1))])));
    // Follows slowly, so that a colour keeps its meaning from frame to frame.
    camera.range = camera.range ? camera.range.map((old, i) => old + 0.05 * (now[i] - old)) : now;
    const [near, far] = camera.range;
    for (let i = 0; i < p.cells.length; i++) {
      data.set([...ramp((far - Math.log(Math.max(1e-3, p.cells[i]))) / Math.max(1e-6, far - near)), 255], 4 * i);
    }
  },
  features(p, data) {
    const similarity = similarities(p);
    if (!similarity) return;
    for (let i = 0; i < similarity.length; i++) data.set([...ramp((similarity[i] - 0.2) / 0.8), 255], 4 * i);
  },
};

/** Cosine of every cell's feature with the picked one, or null if none is picked. */
function similarities(p) {
  const query = state.query;
  if (!query || query.vector.length !== p.channels) return null;
  const result = new Float32Array(p.width * p.height);
  for (let i = 0; i < result.length; i++) {
    let sum = 0;
    for (let c = 0; c < p.channels; c++) sum += query.vector[c] * p.cells[i * p.channels + c];
    result[i] = sum / (127 * 127);
  }
  return result;
}
state.similarities = name => similarities(part(state.cameras.get(name), 'features'));

function draw(camera) {
  const { moment, canvas } = camera;
  const any = moment.parts[0];
  const kind = state.view === 'similar' ? 'features' : state.view;
  const over = kind === 'none' ? null : part(camera, kind);
  const width = any?.frameWidth ?? camera.image?.width ?? 1, height = any?.frameHeight ?? camera.image?.height ?? 1;
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.globalAlpha = 1;
  context.fillStyle = '#000';
  context.fillRect(0, 0, width, height);
  if (camera.image) context.drawImage(camera.image, 0, 0, width, height);
  if (over && !(kind === 'features' && !state.query)) {
    context.globalAlpha = state.opacity;
    context.imageSmoothingEnabled = false;
    context.drawImage(layer(over, data => PAINT[kind](over, data, camera)),
      over.offsetX, over.offsetY, over.width * over.scaleX, over.height * over.scaleY);
    context.globalAlpha = 1;
  }
  if (state.view === 'similar' && state.query?.camera === camera.name) {
    const [x, y] = state.query.at;
    context.strokeStyle = '#fff';
    context.lineWidth = Math.max(1, width / 320);
    context.strokeRect(x - width / 80, y - width / 80, width / 40, width / 40);
  }
  canvas.setAttribute('aria-label', `${camera.name}, frame ${moment.sequence}, ${state.view}`);
  const age = Date.now() - moment.captureTimeMicros / 1000;
  const model = moment.millis ? `model ${(moment.millis.backbone + moment.millis.upsample).toFixed(0)} ms` : '';
  camera.caption.querySelector('.numbers').textContent = state.fixed
    ? `frame ${moment.sequence} · ${new Date(moment.captureTimeMicros / 1000).toISOString()}`
    : `frame ${moment.sequence} · ${age < 100000 ? age.toFixed(0) + ' ms after capture' : new Date(moment.captureTimeMicros / 1000).toLocaleTimeString()} · ${model}`;
  camera.caption.querySelector('a').href = `#partition=${moment.partition}&offset=${moment.offset}`;
  tell(camera);
  camera.drawn = moment.sequence;
}

function drawAll() {
  for (const camera of state.cameras.values()) if (camera.moment) draw(camera);
}

/** What is under the pointer. */
function tell(camera) {
  let text = '';
  if (camera.under && camera.moment) {
    const labels = part(camera, 'labels'), values = part(camera, 'values'), features = part(camera, 'features');
    if (labels && cell(labels, camera.under) >= 0) {
      const id = labels.cells[cell(labels, camera.under)];
      text = state.labels.find(l => l.id === id)?.name ?? (id === 255 ? 'void' : `class ${id}`);
    }
    if (values && cell(values, camera.under) >= 0) text += ` ${values.cells[cell(values, camera.under)].toPrecision(3)} ${values.unit ?? ''}`;
    const similarity = features && state.query ? similarities(features) : null;
    if (similarity && cell(features, camera.under) >= 0) text += ` similarity ${similarity[cell(features, camera.under)].toFixed(2)}`;
  }
  camera.caption.querySelector('.under').textContent = text;
}

/** Takes the feature at a frame pixel as the one to compare with. */
function pick(camera, point) {
  if (state.view !== 'similar') return choose('similar', () => pick(camera, point));
  const features = part(camera, 'features');
  const i = features ? cell(features, point) : -1;
  if (i < 0) return;
  state.query = { camera: camera.name, at: point, vector: features.cells.slice(i * features.channels, (i + 1) * features.channels) };
  hint('');
  drawAll();
}
state.pick = (name, x, y) => pick(state.cameras.get(name), [x, y]);

// ---- Controls ----

function hint(text) {
  $('hint').textContent = text;
  $('hint').hidden = !text;
}

async function choose(view, then) {
  state.view = view;
  for (const button of $('views').children) {
    button.setAttribute('role', 'radio');
    button.setAttribute('aria-checked', button.dataset.view === view);
  }
  hint(view === 'similar' && !state.query ? 'Click a pixel of a camera: everything like it lights up.' : '');
  // What is on the screen may lack the parts of the new view: get them for these very frames.
  await Promise.all([...state.cameras.values()].filter(camera => camera.moment).map(async camera => {
    const { partition, offset } = camera.moment;
    try {
      const head = await moments(`frame?partition=${partition}&offset=${offset}&want=${WANTED[view]}`);
      if (head.moments.length && camera.moment.partition === partition && camera.moment.offset === offset) {
        camera.moment.parts = head.moments[0].parts;
        camera.moment.parts.forEach(decode);
      }
    } catch { /* the next frame will have them */ }
    draw(camera);
  }));
  then?.();
}
state.choose = choose;

function pause(paused) {
  state.paused = paused;
  $('pause').textContent = paused ? 'Go on' : 'Pause';
  $('pause').setAttribute('aria-pressed', paused);
  if (!paused) for (const camera of state.cameras.values()) camera.seen = Date.now();
  if (!paused && state.fixed) { state.fixed = null; location.hash = ''; }
  connected(true);
}

function opacity(share) {
  state.opacity = Math.max(0, Math.min(1, share));
  $('opacity').value = 100 * state.opacity;
  drawAll();
}

$('views').addEventListener('click', event => event.target.dataset.view && choose(event.target.dataset.view));
$('opacity').addEventListener('input', event => opacity(event.target.value / 100));
$('safe').addEventListener('change', event => { state.safe = event.target.checked; legend(); drawAll(); });
$('pause').addEventListener('click', () => pause(!state.paused));
$('step').addEventListener('click', step);

function step() {
  pause(true);
  state.step = true;
}

document.addEventListener('keydown', event => {
  if (event.target.tagName === 'INPUT' || event.ctrlKey || event.metaKey || event.altKey) return;
  const view = { 1: 'labels', 2: 'colours', 3: 'values', 4: 'similar', 0: 'none' }[event.key];
  if (view) choose(view);
  else if (event.key === ' ') { event.preventDefault(); pause(!state.paused); }
  else if (event.key === '.') step();
  else if (event.key === '+') opacity(state.opacity + 0.1);
  else if (event.key === '-') opacity(state.opacity - 0.1);
  else if (event.key === 'f') {
    const figure = document.activeElement?.closest?.('.camera') ?? document.querySelector('.camera');
    if (document.fullscreenElement) document.exitFullscreen(); else figure?.requestFullscreen();
  }
});

function legend() {
  $('legend').replaceChildren(...state.labels.map(label => {
    const button = document.createElement('button'), box = document.createElement('i');
    box.style.background = `rgb(${colour(label)})`;
    button.append(box, label.name);
    button.dataset.label = label.id;
    button.setAttribute('aria-pressed', !state.hidden.has(label.id));
    button.title = 'Show or hide; double click: this class alone';
    button.addEventListener('click', () => {
      if (!state.hidden.delete(label.id)) state.hidden.add(label.id);
      button.setAttribute('aria-pressed', !state.hidden.has(label.id));
      drawAll();
    });
    button.addEventListener('dblclick', () => {
      state.hidden = new Set(state.labels.map(l => l.id).filter(id => id !== label.id));
      legend();
      drawAll();
    });
    return button;
  }));
}

// ---- A link to one frame ----

async function openLink() {
  const query = new URLSearchParams(location.hash.slice(1));
  if (!query.has('offset')) return;
  pause(true);
  state.fixed = query;
  try {
    const head = await moments(`frame?partition=${query.get('partition')}&offset=${query.get('offset')}&want=${WANTED[state.view]}`);
    hint(head.moments.length ? '' : 'The topics no longer have this frame.');
    await Promise.all(head.moments.map(moment => show(moment, true)));
  } catch (error) {
    hint(error.message);
  }
}
window.addEventListener('hashchange', openLink);

// ---- Strips ----

const axes = [{ show: false }, { stroke: '#a8a8a8', grid: { stroke: '#2a2a2a' }, size: 64 }];

function plot(id, series) {
  const width = () => Math.max(200, $(id).clientWidth);
  const chart = new uPlot({
    width: width(), height: 110, axes, legend: { show: false }, cursor: { y: false }, scales: { x: { time: true }, y: { range: (u, low, high) => [0, Math.max(1, high * 1.1)] } },
    series: [{}, ...series.map(([label, stroke]) => ({ label, stroke, width: 1.5, points: { show: false } }))],
  }, [[], ...series.map(() => [])], $(id));
  new ResizeObserver(() => chart.setSize({ width: width(), height: 110 })).observe($(id));
  return chart;
}

const plots = {
  latency: plot('plot-latency', [['p50', '#56b4e9'], ['p95', '#e69f00'], ['p99', '#d55e00']]),
  rate: plot('plot-rate', [['frames/s', '#009e73']]),
  lost: plot('plot-lost', [['dropped', '#e69f00'], ['failed', '#d55e00']]),
};

const last = (series, count = 5) => {
  const known = series.slice(-count).filter(value => value !== null);
  return known.length ? known.reduce((a, b) => a + b) / known.length : 0;
};

async function count() {
  for (;;) {
    try {
      const s = state.statistics = await (await ask('statistics')).json();
      plots.latency.setData([s.seconds, s.p50, s.p95, s.p99]);
      plots.rate.setData([s.seconds, s.rate]);
      plots.lost.setData([s.seconds, s.dropped, s.failed]);
      $('latency').textContent = `p50 ${last(s.p50).toFixed(0)} · p95 ${last(s.p95).toFixed(0)} · p99 ${last(s.p99).toFixed(0)}`;
      $('rate').textContent = last(s.rate).toFixed(1);
      const sum = reasons => Object.values(reasons).reduce((a, b) => a + b, 0);
      $('lost').textContent = `dropped ${sum(s.dropReasons)} · failed ${sum(s.failureReasons)}`;
      $('reasons').textContent = [...Object.entries(s.dropReasons).map(([r, n]) => `dropped, ${r}: ${n}`),
        ...Object.entries(s.failureReasons).map(([r, n]) => `failed, ${r}: ${n}`),
        ...Object.entries(s.cameras).map(([c, n]) => `${c || '(no camera)'}: ${n.results} results, ${n.dropped} dropped, ${n.failed} failed`)].join(' · ');
      others();
      connected(true);
    } catch (error) {
      connected(false, error);
    }
    await wait(1000);
  }
}

async function names() {
  state.labels = await (await ask('labels')).json();
  legend();
}

async function start() {
  for (;;) {
    try {
      await names();
      break;
    } catch (error) {
      connected(false, error);
      await wait(1000);
    }
  }
  await choose('labels');
  await openLink();
  count();
  follow();
}
start();
