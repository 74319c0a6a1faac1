// The live page. It asks for the newest moments, waits for the answer, draws it, and asks again: what it cannot draw in
// time it never gets.
import { draw, drawAll, heads, markQuiet, others, part, place, tile } from './cameras.js';
import { chart } from './charts.js';
import { follow, legend } from './legend.js';
import { ask, cell, decode, moments } from './records.js';
import { $, hint, remember, state } from './state.js';

const WANTED = { labels: 'labels', colours: 'labels,colours', values: 'labels,values', similar: 'labels,features', none: 'labels' };

// ---- Asking ----

async function image(moment) {
  const answer = await ask(`image?topic=${encodeURIComponent(moment.topic)}&partition=${moment.partition}&offset=${moment.offset}`);
  return createImageBitmap(await answer.blob(), { imageOrientation: 'from-image' });
}

const wait = millis => new Promise(done => setTimeout(done, millis));

async function live() {
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
      await names().catch(() => {}); // of a viewer that is another now, maybe
    }
  }
}

function connected(yes, error) {
  $('link').classList.toggle('lost', !yes);
  if (!yes) $('link').textContent = `no answer from the viewer, trying again (${error.message})`;
  else if (state.statistics && !state.statistics.connected) $('link').textContent = `waiting for Kafka at ${state.statistics.broker} and its topics …`;
  else $('link').textContent = state.paused ? 'paused' : state.cameras.size ? 'live' : 'waiting for the first result …';
}

async function show(moment, linked = false) {
  let camera = state.cameras.get(moment.camera);
  if (!camera) {
    if (!linked && !place()) return;
    camera = tile(moment.camera, pick);
    state.cameras.set(moment.camera, camera);
  }
  camera.seen = Date.now();
  try {
    camera.image = await image(moment);
  } catch {
    camera.image = null; // no longer in the topic, or no broker: the records are shown on black
  }
  camera.moment = moment;
  try {
    moment.parts.forEach(decode);
    heads();
    follow(drawAll);
    draw(camera);
  } catch (error) { // one camera's, not the page's
    moment.parts = [];
    camera.caption.querySelector('.numbers').textContent = `frame ${moment.sequence}: not readable (${error.message})`;
    camera.drawn = moment.sequence;
  }
  state.shown++;
}

// ---- Controls ----

const PICK = 'Click a pixel of a camera: everything like it lights up.';

/** Takes the feature at a frame pixel as the one to compare with. */
function pick(camera, point) {
  if (state.view !== 'similar') return choose('similar', () => pick(camera, point));
  const features = part(camera, 'features');
  const i = features ? cell(features, point) : -1;
  if (i < 0) return;
  state.query = { camera: camera.name, head: features.name, at: point, vector: features.cells.slice(i * features.channels, (i + 1) * features.channels) };
  hint('');
  drawAll();
}
state.pick = (name, x, y) => pick(state.cameras.get(name), [x, y]);

async function choose(view, then) {
  state.view = view;
  remember();
  for (const button of $('views').children) {
    button.setAttribute('role', 'radio');
    button.setAttribute('aria-checked', button.dataset.view === view);
  }
  hint(view === 'similar' && !state.query ? PICK : '');
  // What is on the screen may lack the parts of the new view: get them for these very frames.
  await Promise.all([...state.cameras.values()].filter(camera => camera.moment).map(async camera => {
    const { partition, offset } = camera.moment;
    try {
      const head = await moments(`frame?partition=${partition}&offset=${offset}&want=${WANTED[view]}`);
      if (head.moments.length && camera.moment.partition === partition && camera.moment.offset === offset) {
        const { parts } = head.moments[0];
        parts.forEach(decode);
        camera.moment.parts = parts;
      }
    } catch { /* the next frame will have them */ }
    draw(camera);
  }));
  heads();
  explain();
  then?.();
}
state.choose = choose;

function pause(paused) {
  state.paused = paused;
  $('pause').textContent = paused ? 'Go on' : 'Pause';
  $('pause').setAttribute('aria-pressed', paused);
  if (!paused) for (const camera of state.cameras.values()) camera.seen = Date.now();
  if (!paused && state.fixed) { state.fixed = null; location.hash = ''; remember(); }
  connected(true);
}

function opacity(share) {
  state.opacity = Math.max(0, Math.min(1, share));
  $('opacity').value = 100 * state.opacity;
  drawAll();
  remember();
}

$('views').addEventListener('click', event => event.target.dataset.view && choose(event.target.dataset.view));
$('head').addEventListener('change', event => {
  state.head = event.target.value;
  state.query = null;
  remember();
  if (state.view === 'similar') hint(PICK);
  drawAll();
  explain();
});
$('opacity').value = 100 * state.opacity;
$('opacity').addEventListener('input', event => { state.opacity = event.target.value / 100; drawAll(); });
$('opacity').addEventListener('change', remember);
$('safe').addEventListener('change', event => { state.safe = event.target.checked; explain(); drawAll(); });
$('pause').addEventListener('click', () => pause(!state.paused));
$('step').addEventListener('click', step);

function step() {
  pause(true);
  state.step = true;
}

document.addEventListener('keydown', event => {
  if (['INPUT', 'SELECT'].includes(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
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

const explain = () => legend(drawAll);

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

async function count() {
  for (;;) {
    try {
      state.statistics = await (await ask('statistics')).json();
      chart(state.statistics);
      $('broker').textContent = 'Kafka at ' + state.statistics.broker;
      others();
      markQuiet();
      if (state.view === 'values') explain(); // the range follows the frames
      connected(true);
    } catch (error) {
      connected(false, error);
    }
    await wait(1000);
  }
}

async function names() {
  state.labels = await (await ask('labels')).json();
  explain();
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
  await choose(state.view);
  await openLink();
  count();
  live();
}
start();
