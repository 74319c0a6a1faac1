// The cameras' tiles and what is drawn on them.
import { layer, similarities } from './paint.js';
import { cell } from './records.js';
import { $, address, classes, state } from './state.js';

// Cameras with a tile, unless more are chosen; one that was quiet for so long gives its place to a new one.
const TILES = 16, QUIET_MILLIS = 10000;

// Of a tile's canvas: larger frames are drawn smaller.
const MAX_PIXELS = 2 ** 23;

// Cameras that the viewer counts one by one; the rest are called other.
const COUNTED = 100;

const byName = (a, b) => a.localeCompare(b, undefined, { numeric: true });
const full = () => state.cameras.size >= Math.max(TILES, state.chosen.length);

/** Whether there is a place for one more tile, if need be that of a camera that is quiet. */
export function place() {
  if (!full()) return true;
  const last = [...state.cameras.values()].reduce((a, b) => a.seen < b.seen ? a : b);
  if (Date.now() - last.seen < QUIET_MILLIS) return false;
  last.figure.remove();
  state.cameras.delete(last.name);
  return true;
}

/** Marks the cameras of which nothing has come for a while. */
export function markQuiet() {
  for (const camera of state.cameras.values()) {
    const millis = state.paused || state.fixed ? 0 : Date.now() - camera.seen, quiet = millis >= QUIET_MILLIS;
    camera.figure.classList.toggle('quiet', quiet);
    if (quiet) camera.caption.querySelector('.numbers').textContent = `no result for ${Math.floor(millis / 1000)} s, the last was frame ${camera.drawn}`;
  }
}

/** Says which cameras have no tile, and how to get one; and which were chosen and never came. */
export function others() {
  const counted = Object.entries(state.statistics.cameras).filter(([name, n]) => name && n.results).map(([name]) => name);
  const many = counted.length > COUNTED, known = counted.filter(name => !many || name !== 'other');
  const hidden = state.chosen.length || full() ? known.filter(name => !state.cameras.has(name)).sort(byName) : [];
  const absent = state.chosen.filter(name => !known.includes(name) && !state.cameras.has(name));
  const link = (cameras, text) => Object.assign(document.createElement('a'), { href: address(cameras), textContent: text });
  $('absent').hidden = !absent.length;
  $('absent').textContent = `No result of ${absent.join(', ')} since the viewer began`
    + (known.length ? `; there are ${known.sort(byName).slice(0, 8).join(', ')}.` : '.');
  $('others').hidden = !hidden.length;
  $('others').replaceChildren(
    `${many ? 'More than ' : ''}${hidden.length} more ${hidden.length === 1 ? 'camera is' : 'cameras are'} not shown: `,
    ...hidden.slice(0, 8).flatMap(name => [link([...state.chosen, name], name), ' ']),
    hidden.length > 8 ? '… ' : '', '(?camera=NAME in the address chooses, as often as needed) ',
    state.chosen.length ? link([], 'all') : '');
}

export function tile(name, pick) {
  const figure = document.createElement('figure');
  figure.className = 'camera';
  figure.dataset.camera = name;
  const canvas = document.createElement('canvas');
  canvas.tabIndex = 0;
  canvas.setAttribute('role', 'img');
  const caption = document.createElement('figcaption');
  caption.innerHTML = '<b></b><span class="under"></span><span class="links"><a title="A link to this frame">frame</a> '
    + '<a class="alone" title="This camera alone">alone</a></span><span class="numbers"></span>';
  caption.querySelector('b').textContent = caption.querySelector('b').title = name;
  caption.querySelector('.alone').addEventListener('pointerenter', event => { event.target.href = address([name]); });
  caption.querySelector('.alone').href = address([name]);
  figure.append(canvas, caption);
  $('cameras').insertBefore(figure, [...$('cameras').children].find(other => byName(other.dataset.camera, name) > 0) ?? null);
  const camera = { name, figure, canvas, caption, moment: null, image: null, drawn: null, under: null, size: [1, 1] };
  canvas.addEventListener('click', event => pick(camera, at(camera, event)));
  canvas.addEventListener('pointermove', event => { camera.under = at(camera, event); tell(camera); });
  canvas.addEventListener('pointerleave', () => { camera.under = null; tell(camera); });
  return camera;
}

/** Frame pixel under the pointer. */
function at(camera, event) {
  // In full screen the picture is in the middle of its box, as large as fits.
  const box = camera.canvas.getBoundingClientRect();
  const [width, height] = camera.size;
  const scale = Math.min(box.width / width, box.height / height);
  return [
    (event.clientX - box.left - (box.width - scale * width) / 2) / scale,
    (event.clientY - box.top - (box.height - scale * height) / 2) / scale,
  ];
}

/** The part of the head that was chosen, if the camera has it, or of the first by name. */
export function part(camera, kind) {
  const parts = (camera.moment?.parts ?? []).filter(p => p.kind === kind).sort((a, b) => byName(a.name, b.name));
  return parts.find(p => p.name === state.head) ?? parts[0];
}

const drawn = () => state.view === 'similar' ? 'features' : state.view;

/** Offers the heads of the view, where there are several. */
export function heads() {
  const all = [...state.cameras.values()].flatMap(camera => camera.moment?.parts ?? []).filter(p => p.kind === drawn());
  const names = [...new Set(all.map(p => p.name))].sort(byName);
  $('head').hidden = names.length < 2;
  if (names.join('\n') !== [...$('head').options].map(option => option.value).join('\n')) {
    $('head').replaceChildren(...names.map(name => new Option(name, name)));
  }
  $('head').value = names.includes(state.head) ? state.head : names[0];
}

state.similarities = name => similarities(part(state.cameras.get(name), 'features'), state.query);

export function draw(camera) {
  const { moment, canvas } = camera;
  const any = moment.parts[0];
  const kind = drawn();
  const over = kind === 'none' ? null : part(camera, kind);
  const width = any?.frameWidth ?? camera.image?.width ?? 1, height = any?.frameHeight ?? camera.image?.height ?? 1;
  const shrunk = Math.min(1, Math.sqrt(MAX_PIXELS / (width * height)));
  const columns = Math.max(1, Math.round(width * shrunk)), rows = Math.max(1, Math.round(height * shrunk));
  if (canvas.width !== columns || canvas.height !== rows) [canvas.width, canvas.height] = [columns, rows];
  camera.size = [width, height];
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.setTransform(columns / width, 0, 0, rows / height, 0, 0);
  context.globalAlpha = 1;
  context.fillStyle = '#000';
  context.fillRect(0, 0, width, height);
  if (camera.image) context.drawImage(camera.image, 0, 0, width, height);
  if (over && !(kind === 'features' && !state.query)) {
    context.globalAlpha = state.opacity;
    context.imageSmoothingEnabled = false;
    context.drawImage(layer(over, state),
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
  const taken = new Date(moment.captureTimeMicros / 1000), known = !Number.isNaN(taken.getTime());
  moment.age ??= Date.now() - moment.captureTimeMicros / 1000; // when it was first drawn
  const model = moment.millis ? ` · model ${(moment.millis.backbone + moment.millis.upsample).toFixed(0)} ms` : '';
  camera.caption.querySelector('.numbers').textContent = state.fixed
    ? `frame ${moment.sequence} · ${known ? taken.toISOString() : 'at an unknown time'}`
    : `frame ${moment.sequence} · ${moment.age < 100000 && known ? moment.age.toFixed(0) + ' ms after capture' : 'of ' + taken.toLocaleString()}${model}`;
  camera.caption.querySelector('a').href = `#partition=${moment.partition}&offset=${moment.offset}`;
  tell(camera);
  camera.drawn = moment.sequence;
}

export function drawAll() {
  for (const camera of state.cameras.values()) if (camera.moment) draw(camera);
}

/** What is under the pointer. */
function tell(camera) {
  let text = '';
  if (camera.under && camera.moment) {
    const labels = part(camera, 'labels'), values = part(camera, 'values'), features = part(camera, 'features');
    if (labels && cell(labels, camera.under) >= 0) {
      const id = labels.cells[cell(labels, camera.under)];
      text = classes(labels).find(l => l.id === id)?.name ?? (id === 255 ? 'void' : `class ${id}`);
    }
    if (values && cell(values, camera.under) >= 0) text += ` ${values.cells[cell(values, camera.under)].toPrecision(3)} ${values.unit ?? ''}`;
    const similarity = features && state.query ? similarities(features, state.query) : null;
    if (similarity && cell(features, camera.under) >= 0) text += ` similarity ${similarity[cell(features, camera.under)].toFixed(2)}`;
  }
  camera.caption.querySelector('.under').textContent = text;
}
